#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/store/message_log.h"
#include "broker/store/state_file.h"
#include "broker/streams/answer_queue.h"
#include "broker/streams/duplicate_window.h"
#include "broker/streams/ids_file.h"
#include "broker/streams/memory_file_system.h"
#include "broker/streams/pub_ack.h"
#include "broker/streams/publish_headers.h"
#include "broker/streams/stream.h"
#include "broker/streams/subject_transform.h"

namespace feedvault::broker::streams {

/// Stream's inside; comments on methods are there.
class Stream::Impl {
 public:
  Impl(Stream& owner, const StreamOptions& options);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // stream_open.cc
  Status create(const StreamConfig& config);
  Status open(const std::string& name);
  void begin_destroy();
  Status run_destroy();
  Status close();
  std::optional<ApiError> begin_update(const StreamConfig& config);
  void run_update();
  std::optional<ApiError> end_update();

  // stream_publish.cc
  Outcome store(const PublishedMessage& message);
  bool accepts() const;

  // stream_commit.cc
  Commit begin_commit();
  void end_commit(const Status& synced);
  void write();
  bool needs_commit() const;
  void when_durable(Done done);

  // stream_limits.cc
  SteadyTime next_deadline() const;
  void on_timer();
  bool begin_compaction();
  void end_compaction();
  ApiResult<std::uint64_t> purge(const PurgeRequest& request);
  std::optional<ApiError> delete_message(StreamSeq seq, bool erase);
  bool acknowledged(StreamSeq seq);
  void acknowledged(StreamSeq first, StreamSeq last);
  void sweep(StreamSeq from);

  // stream_read.cc
  ApiResult<store::MessageView> get(StreamSeq seq, store::ReadBuffer& buffer) const;
  ApiResult<store::MessageView> last_by_subject(std::string_view filter,
                                                store::ReadBuffer& buffer) const;
  ApiResult<store::MessageView> next_by_subject(StreamSeq from,
                                                std::string_view filter,
                                                store::ReadBuffer& buffer) const;
  StreamState state() const;
  std::vector<store::SubjectCount> subjects(std::string_view filter) const;
  std::uint64_t count_matching(StreamSeq from, StreamSeq to, store::SubjectFilter& filter) const;

 private:
  friend class Stream;

  /// A configuration on its way to the disk.
  struct Update {
    StreamConfig config;
    std::string text;
    Status stored;
  };
  /// How far a commit got: what was appended up to `seq`.
  struct Mark {
    StreamSeq seq = 0;
    std::int64_t time_ns = 0;
    std::uint64_t bytes = 0;  // of all messages ever appended in this run
  };

  bool in_memory() const { return config_.storage == StorageType::kMemory; }
  store::FileSystem& files() { return memory_ != nullptr ? *memory_ : *options_.fs; }

  // stream_open.cc
  std::string state_text(bool deleted) const;
  Status write_state(bool deleted);
  Status open_log();
  std::uint64_t segment_bytes() const;
  Status load_consumers();
  Status compile_transforms();
  void settle_retention();
  Status remove_files();

  // stream_ids.cc
  std::unique_ptr<IdsFile> begin_reading_ids();
  Status remember_ids(IdsFile* file);
  void save_ids();
  bool load_ids(IdsFile* file, std::int64_t since_ns);

  // stream_publish.cc
  struct Incoming;  // a message on its way through the checks
  bool check_headers(const Incoming& in, Outcome& outcome);
  bool check_expectations(const Incoming& in, Outcome& outcome);
  bool check_room(const Incoming& in, Outcome& outcome);
  Outcome append(const Incoming& in);
  void after_append(const Incoming& in, StreamSeq seq, bool wanted);
  Outcome refuse(const Incoming& in, ApiError error, StreamSeq covers = 0);
  Outcome refuse_for_now(const Incoming& in, ApiError error, bool may_pass);
  Outcome refuse_for_want_of_room(const Incoming& in);
  void answer(const AnswerQueue::Answer& answer);
  std::int64_t now_ns();

  // stream_commit.cc
  bool flush();
  void show(const Mark& mark);
  void send_answers();
  void send(const AnswerQueue::Answer& answer);
  void republish(StreamSeq first, StreamSeq last);
  static void tell(std::vector<Done>& waiting, const Status& status);
  void fail(const Status& cause) { fail(cause, disk_failed()); }
  void fail(const Status& cause, const ApiError& answer);
  static ApiError disk_failed() {
    return make_error(errors::kStoreFailed, "the stream's disk has failed");
  }

  // stream_limits.cc
  std::uint64_t bytes_in(const store::LogState& state) const;
  std::uint64_t bytes_of(const Incoming& in) const;
  void enforce_subject_limit(std::string_view subject);
  void enforce_subject_limits();
  void enforce_limits();
  void expire_old();
  bool remove_done(StreamSeq seq);
  void removed(StreamSeq first, StreamSeq last);
  void note_removal();
  void charge(std::uint64_t bytes);
  SteadyTime steady(std::int64_t unix_ns) const;

  Stream& owner_;
  StreamOptions options_;
  StreamConfig config_;
  std::int64_t created_ns_ = 0;
  std::string dir_;
  std::string consumers_dir_;
  std::optional<Update> next_;
  bool showed_unsynced_ = false;  // in this run or one before: after a power cut, skip numbers

  std::unique_ptr<MemoryFileSystem> memory_;
  std::unique_ptr<store::StateFile> state_;
  std::unique_ptr<store::MessageLog> log_;
  std::unique_ptr<StreamConsumers> consumers_;
  std::optional<SubjectTransform> transform_;
  std::optional<SubjectTransform> republish_;
  std::optional<PubAckWriter> acks_;

  DuplicateWindow duplicates_;
  std::string last_message_id_;
  std::int64_t last_time_ns_ = 0;
  std::string subject_;  // scratch: a transformed one
  AnswerQueue answers_;
  ApiError refusal_;
  Status failure_;
  StreamCounters counters_;

  // Commits.
  StreamSeq visible_ = 0;
  Mark appended_;
  Mark flushed_;
  Mark being_synced_mark_;
  Mark visible_mark_;
  bool committing_ = false;
  bool unwritten_ = false;              // appended or removed since the last flush
  bool sync_wanted_ = false;            // also without new messages
  std::vector<Done> want_durable_;      // the next sync covers them
  std::vector<Done> being_synced_;      // the one under way does
  std::vector<Done> after_compaction_;  // the first one after the compaction under way
  bool disk_full_ = false;
  bool retry_due_ = false;
  SteadyTime retry_at_ = SteadyTime::max();
  SteadyTime sync_at_ = SteadyTime::max();
  /// What waits for republishing: number, and the one before on the same subject.
  std::vector<std::pair<StreamSeq, StreamSeq>> to_republish_;

  // Ages and room.
  SteadyTime expire_at_ = SteadyTime::max();
  SteadyTime forget_at_ = SteadyTime::max();  // ids
  SteadyTime compact_at_ = SteadyTime::max();
  bool compaction_due_ = false;
  std::shared_ptr<store::CompactionJob> compaction_;  // under way
  std::uint64_t room_made_ = 0;                       // counts what may let a held back message in
  std::uint64_t held_at_ = 0;                         // room_made_ when store() held back
  StoreBudget* budget_ = nullptr;
  std::uint64_t charged_ = 0;               // what the budget has of us
  SteadyTime room_at_ = SteadyTime::max();  // look again whether others have made some
  bool log_full_ = false;                   // until then nobody asks the disk
};

}  // namespace feedvault::broker::streams
