#include "broker/streams/stream.h"

#include <utility>

#include "broker/streams/stream_impl.h"

namespace feedvault::broker::streams {

Stream::Stream(const StreamOptions& options) : impl_(std::make_unique<Impl>(*this, options)) {}

Stream::~Stream() = default;

Result<std::unique_ptr<Stream>> Stream::create(const StreamConfig& config,
                                               const StreamOptions& options) {
  std::unique_ptr<Stream> stream(new Stream(options));
  RETURN_IF_ERROR(stream->impl_->create(config));
  return stream;
}

Result<std::unique_ptr<Stream>> Stream::open(const std::string& name,
                                             const StreamOptions& options) {
  std::unique_ptr<Stream> stream(new Stream(options));
  RETURN_IF_ERROR(stream->impl_->open(name));
  return stream;
}

Stream::Outcome Stream::store(const PublishedMessage& message) {
  return impl_->store(message);
}

const ApiError& Stream::last_refusal() const {
  return impl_->refusal_;
}

bool Stream::accepts() const {
  return impl_->accepts();
}

Stream::Commit Stream::begin_commit() {
  return impl_->begin_commit();
}

Status Stream::sync() {
  return impl_->log_->sync_written();
}

void Stream::end_commit(const Status& synced) {
  impl_->end_commit(synced);
}

void Stream::write() {
  impl_->write();
}

bool Stream::committing() const {
  return impl_->committing_;
}

bool Stream::needs_commit() const {
  return impl_->needs_commit();
}

void Stream::commit() {
  if (begin_commit() == Commit::kSync) {
    end_commit(sync());
  }
  if (begin_compaction()) {
    run_compaction();
    end_compaction();
  }
}

bool Stream::begin_compaction() {
  return impl_->begin_compaction();
}

void Stream::run_compaction() {
  impl_->log_->run_compaction(*impl_->compaction_);
}

void Stream::end_compaction() {
  impl_->end_compaction();
}

std::size_t Stream::waiting_answers() const {
  return impl_->answers_.size();
}

Status Stream::failure() const {
  return impl_->failure_;
}

SteadyTime Stream::next_deadline() const {
  return impl_->next_deadline();
}

void Stream::on_timer() {
  impl_->on_timer();
}

ApiResult<store::MessageView> Stream::get(StreamSeq seq, store::ReadBuffer& buffer) const {
  return impl_->get(seq, buffer);
}

ApiResult<store::MessageView> Stream::last_by_subject(std::string_view filter,
                                                      store::ReadBuffer& buffer) const {
  return impl_->last_by_subject(filter, buffer);
}

ApiResult<store::MessageView> Stream::next_by_subject(StreamSeq from,
                                                      std::string_view filter,
                                                      store::ReadBuffer& buffer) const {
  return impl_->next_by_subject(from, filter, buffer);
}

StreamState Stream::state() const {
  return impl_->state();
}

std::vector<store::SubjectCount> Stream::subjects(std::string_view filter) const {
  return impl_->subjects(filter);
}

std::vector<StreamSeq> Stream::deleted(std::size_t max) const {
  auto missing = impl_->log_->deleted(1, max);
  std::erase_if(missing, [this](StreamSeq seq) { return seq > visible_seq(); });
  return missing;
}

ApiResult<std::uint64_t> Stream::purge(const PurgeRequest& request) {
  return impl_->purge(request);
}

std::optional<ApiError> Stream::delete_message(StreamSeq seq, bool erase) {
  return impl_->delete_message(seq, erase);
}

std::optional<ApiError> Stream::update(const StreamConfig& config) {
  if (auto error = impl_->begin_update(config); error.has_value()) {
    return error;
  }
  impl_->run_update();
  return impl_->end_update();
}

std::optional<ApiError> Stream::begin_update(const StreamConfig& config) {
  return impl_->begin_update(config);
}

void Stream::run_update() {
  impl_->run_update();
}

std::optional<ApiError> Stream::end_update() {
  return impl_->end_update();
}

const StreamConfig* Stream::next_config() const {
  return impl_->next_.has_value() ? &impl_->next_->config : nullptr;
}

void Stream::when_durable(Done done) {
  impl_->when_durable(std::move(done));
}

Status Stream::destroy() {
  impl_->begin_destroy();
  return impl_->run_destroy();
}

void Stream::begin_destroy() {
  impl_->begin_destroy();
}

Status Stream::run_destroy() {
  return impl_->run_destroy();
}

Status Stream::close() {
  return impl_->close();
}

StreamSeq Stream::written_seq() const {
  return std::max(impl_->visible_, impl_->flushed_.seq);
}

StreamSeq Stream::visible_seq() const {
  return impl_->visible_;
}

const store::MessageLog& Stream::log() const {
  return *impl_->log_;
}

std::uint64_t Stream::count_matching(StreamSeq from,
                                     StreamSeq to,
                                     store::SubjectFilter& filter) const {
  return impl_->count_matching(from, to, filter);
}

bool Stream::acknowledged(StreamSeq seq) {
  return impl_->acknowledged(seq);
}

void Stream::acknowledged(StreamSeq first, StreamSeq last) {
  impl_->acknowledged(first, last);
}

void Stream::sweep(StreamSeq from) {
  impl_->sweep(from);
}

StreamConsumers* Stream::consumers() {
  return impl_->consumers_.get();
}

const StreamConsumers* Stream::consumers() const {
  return impl_->consumers_.get();
}

const std::string& Stream::consumers_dir() const {
  return impl_->consumers_dir_;
}

const StreamOptions& Stream::options() const {
  return impl_->options_;
}

const StreamConfig& Stream::config() const {
  return impl_->config_;
}

std::int64_t Stream::created_ns() const {
  return impl_->created_ns_;
}

const StreamCounters& Stream::counters() const {
  return impl_->counters_;
}

const store::RecoveryReport& Stream::recovery() const {
  return impl_->log_->recovery();
}

}  // namespace feedvault::broker::streams
