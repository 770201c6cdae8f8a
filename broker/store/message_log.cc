#include "broker/store/message_log.h"

#include <utility>

#include "broker/store/log_core.h"

namespace feedvault::broker::store {

Result<std::unique_ptr<MessageLog>> MessageLog::open(FileSystem& fs,
                                                     const std::string& dir,
                                                     const LogOptions& options,
                                                     const Clock& clock) {
  auto core = std::make_unique<LogCore>(fs, dir, options, clock);
  RETURN_IF_ERROR(core->recover());
  return std::unique_ptr<MessageLog>(new MessageLog(std::move(core)));
}

MessageLog::MessageLog(std::unique_ptr<LogCore> core) : core_(std::move(core)) {}

MessageLog::~MessageLog() {
  core_->abandon();
}

const RecoveryReport& MessageLog::recovery() const {
  return core_->recovery();
}

Result<StreamSeq> MessageLog::append(std::string_view subject,
                                     std::string_view headers,
                                     std::string_view payload,
                                     std::int64_t time_ns) {
  return core_->append(subject, headers, payload, time_ns);
}

Status MessageLog::skip_to(StreamSeq next_seq) {
  return core_->skip_to(next_seq);
}

Status MessageLog::remove(StreamSeq seq, Erase erase) {
  return core_->remove(seq, erase);
}

Result<std::uint64_t> MessageLog::purge_below(StreamSeq seq) {
  return core_->purge_below(seq);
}

Result<std::uint64_t> MessageLog::expire_below(StreamSeq seq) {
  return core_->expire_below(seq);
}

Result<std::uint64_t> MessageLog::purge(SubjectFilter& filter,
                                        std::uint64_t keep,
                                        StreamSeq below) {
  return core_->purge(filter, keep, below);
}

Status MessageLog::flush() {
  return core_->flush();
}

Status MessageLog::sync() {
  return core_->sync();
}

Result<bool> MessageLog::compact(std::uint64_t bytes_max) {
  return core_->compact(bytes_max);
}

bool MessageLog::wants_compaction() const {
  return core_->wants_compaction();
}

std::shared_ptr<CompactionJob> MessageLog::begin_compaction() {
  return core_->begin_compaction();
}

void MessageLog::run_compaction(CompactionJob& compaction) {
  core_->run_compaction(compaction);
}

Status MessageLog::end_compaction(CompactionJob& compaction) {
  return core_->end_compaction(compaction);
}

bool MessageLog::compaction_erases() const {
  return core_->compaction_erases();
}

Status MessageLog::close() {
  return core_->close();
}

bool MessageLog::wants_sync() const {
  return core_->wants_sync();
}

Status MessageLog::sync_written() {
  return core_->sync_written();
}

StreamSeq MessageLog::durable_seq() const {
  return core_->durable_seq();
}

StreamSeq MessageLog::last_seq() const {
  return core_->last_seq();
}

Status MessageLog::failure() const {
  return core_->failure();
}

Result<MessageView> MessageLog::read(StreamSeq seq, ReadBuffer& buffer) const {
  return core_->read(seq, buffer);
}

LogState MessageLog::state() const {
  return core_->state();
}

LogState MessageLog::counts() const {
  return core_->counts();
}

std::vector<StreamSeq> MessageLog::deleted(StreamSeq from, std::size_t max) const {
  return core_->deleted(from, max);
}

bool MessageLog::subject_of(StreamSeq seq, std::string& subject) const {
  return core_->subject_of(seq, subject);
}

SubjectState MessageLog::subject_state(std::string_view subject) const {
  return core_->subject_state(subject);
}

std::vector<SubjectCount> MessageLog::subjects(const SubjectFilter& filter) const {
  return core_->subjects(filter);
}

std::uint64_t MessageLog::subject_count() const {
  return core_->subject_count();
}

StreamSeq MessageLog::next_matching(StreamSeq from, SubjectFilter& filter) const {
  return core_->next_matching(from, filter);
}

StreamSeq MessageLog::last_matching(StreamSeq from, SubjectFilter& filter) const {
  return core_->last_matching(from, filter);
}

std::uint64_t MessageLog::count_matching(StreamSeq from, SubjectFilter& filter) const {
  return core_->count_matching(from, filter);
}

Result<StreamSeq> MessageLog::seq_at_time(std::int64_t time_ns) const {
  return core_->seq_at_time(time_ns);
}

std::vector<Damage> MessageLog::damage() const {
  return core_->damage();
}

LogStats MessageLog::stats() const {
  return core_->stats();
}

std::size_t MessageLog::index_bytes() const {
  return core_->index_bytes();
}

std::uint64_t MessageLog::disk_bytes() const {
  return core_->disk_bytes();
}

}  // namespace feedvault::broker::store
