#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "broker/store/file_system.h"
#include "broker/store/message_log.h"
#include "broker/streams/api_error.h"
#include "broker/streams/output.h"
#include "broker/streams/store_budget.h"
#include "broker/streams/stream_config.h"
#include "broker/streams/stream_consumers.h"

namespace feedvault::broker::streams {

class Stream;

/// When a message counts as stored.
enum class SyncPolicy : std::uint8_t {
  kAlways,    // once an fdatasync covers it
  kInterval,  // once the operating system has it; synced every sync_interval
};

struct StreamOptions {
  /// For file storage: the folder that holds one folder a stream. It must exist.
  std::string dir;
  store::FileSystem* fs = nullptr;  // outlives the stream
  const Clock* clock = nullptr;     // "
  Output* output = nullptr;         // "
  SyncPolicy sync = SyncPolicy::kAlways;
  std::chrono::nanoseconds sync_interval = std::chrono::seconds(2);
  store::LogOptions log;  // first_seq and after_power_cut are the stream's to set
  std::string domain;     // of JetStream; "" for none
  /// What the streams of each storage share; outlive the stream. Null: no limit.
  StoreBudget* file_budget = nullptr;
  StoreBudget* memory_budget = nullptr;
  /// Makes the consumers when the stream opens, and reads back those that were stored (below
  /// stream.consumers_dir()). Without one the stream has none.
  std::function<Result<std::unique_ptr<StreamConsumers>>(Stream&)> consumers;
};

/// What a client published. Views live until the call returns.
struct PublishedMessage {
  std::string_view subject;
  std::string_view reply;    // "" : nobody waits for an answer
  std::string_view headers;  // whole block, or ""
  std::string_view payload;
};

/// As the API's `state`.
struct StreamState {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  StreamSeq first_seq = 0;
  StreamSeq last_seq = 0;
  std::int64_t first_time_ns = 0;  // 0: none (the API's year 1)
  std::int64_t last_time_ns = 0;
  std::uint64_t num_subjects = 0;
  std::uint64_t num_deleted = 0;
  std::size_t consumers = 0;
};

struct PurgeRequest {
  std::string filter;      // "" for all
  StreamSeq below = 0;     // the API's `seq`; 0 for no bound
  std::uint64_t keep = 0;  // the newest so many stay
};

/// Counted since the stream was opened.
struct StreamCounters {
  std::uint64_t stored = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t refused = 0;    // answered with an error, or would have been
  std::uint64_t held_back = 0;  // times that store() returned kHold
  std::uint64_t expired = 0;    // removed by limits
  std::uint64_t commits = 0;
};

/// One stream: its messages, limits, duplicate window, and the answers that wait for the disk.
/// Knows no sockets, threads or JSON. All methods belong to one thread, except sync(), which
/// another may run; const methods must not run beside others either.
///
/// From publish to PubAck:
///
///   store() ...        appends to a buffer; the answer waits in here
///   begin_commit()     hands the buffer to the operating system
///     sync()           on any thread: makes it durable. store() may go on meanwhile
///   end_commit()       answers what is durable now, shows it to consumers, republishes it
///
/// What is not durable (SyncPolicy::kInterval: not written) is shown to nobody: it has numbers
/// above visible_seq(). The exception are consumers that ask for what is written (kDeliverKey);
/// for them write() may be called in between. Answers leave in the order in which messages came.
///
/// Failure: when a write or a sync fails, the stream stops (failure() says why): everything that
/// waits is answered with an error and so is what comes later; what is visible can be read. A full
/// disk does not stop it: store() holds back, and commits are tried again (next_deadline()).
class Stream {
 public:
  /// A new stream: durable on disk when this returns. `config` has been checked. Blocks; any
  /// thread: nothing is sent, and the budgets are left alone.
  static Result<std::unique_ptr<Stream>> create(const StreamConfig& config,
                                                const StreamOptions& options);
  /// Opens what an earlier run left in options.dir + "/" + name. kNotFound: a folder without a
  /// stream, such as an unfinished creation leaves; kCorruption: its configuration is unreadable.
  static Result<std::unique_ptr<Stream>> open(const std::string& name,
                                              const StreamOptions& options);
  /// Closes nothing properly: as if the process were killed.
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // --- Publishing ---

  enum class Outcome : std::uint8_t {
    kStored,     // it has a number now; answered once durable
    kDuplicate,  // its Nats-Msg-Id is known; answered once that message is durable
    kUnwanted,   // interest retention without interest: a number was used, nothing stored; answered
    kRefused,    // last_refusal() says why; answered if somebody waits and no_ack is not set
    kHold,       // cannot be stored now and nobody waits for an answer: offer it again when
                 // accepts() says so. last_refusal() says why
  };
  /// Requires: the stream captures message.subject (it is not looked at).
  Outcome store(const PublishedMessage& message);
  /// Of the last store() that returned kRefused or kHold.
  const ApiError& last_refusal() const;
  /// May be worth offering again what got kHold. Cheap; changes by commits, acknowledgements,
  /// purges, deletions, updates and on_timer().
  bool accepts() const;

  // --- Commits ---

  enum class Commit : std::uint8_t {
    kNothing,  // all is done already
    kSync,     // call sync(), then end_commit()
  };
  /// Requires: no commit is under way.
  Commit begin_commit();
  /// Blocks. Any thread, between begin_commit() and end_commit().
  Status sync();
  void end_commit(const Status& synced);
  bool committing() const;
  /// During a commit, or while another has to wait: hands what came meanwhile to the operating
  /// system, and shows it to consumers that do not wait for the disk. Without such ones it does
  /// nothing.
  void write();
  /// begin_commit() would have something to do. Cheap.
  bool needs_commit() const;
  /// All three in one, on this thread, and a compaction that is due.
  void commit();
  /// Answers that wait for a commit.
  std::size_t waiting_answers() const;
  Status failure() const;

  // --- Time ---

  /// When on_timer() wants to be called (ages, retries, consumers, giving back the room of dead
  /// messages); SteadyTime::max() for never.
  SteadyTime next_deadline() const;
  void on_timer();

  // --- Giving back the room of dead messages, away from this thread ---

  /// True: call run_compaction(), then end_compaction(). Cheap when there is nothing to do.
  bool begin_compaction();
  /// Blocks while it rewrites a segment. Any one thread, beside commits and everything else.
  void run_compaction();
  void end_compaction();

  // --- Reading: only what is visible ---

  /// Views point into `buffer`. kMessageNotFound (also for damaged messages), kStoreFailed (I/O).
  ApiResult<store::MessageView> get(StreamSeq seq, store::ReadBuffer& buffer) const;
  /// Filters may have wildcards.
  ApiResult<store::MessageView> last_by_subject(std::string_view filter,
                                                store::ReadBuffer& buffer) const;
  /// At or above `from`.
  ApiResult<store::MessageView> next_by_subject(StreamSeq from,
                                                std::string_view filter,
                                                store::ReadBuffer& buffer) const;
  StreamState state() const;
  /// Messages by subject, sorted by it.
  std::vector<store::SubjectCount> subjects(std::string_view filter) const;
  /// Numbers between first and last without a message, at most `max` of them.
  std::vector<StreamSeq> deleted(std::size_t max) const;

  // --- Changing ---

  /// How many messages went. when_durable() says when that is for good.
  ApiResult<std::uint64_t> purge(const PurgeRequest& request);
  /// The same. `erase`: the bytes are overwritten, too, before it is said to be durable.
  std::optional<ApiError> delete_message(StreamSeq seq, bool erase);
  /// `config` has passed check_stream_update. It is durable on return: blocks for a sync.
  std::optional<ApiError> update(const StreamConfig& config);
  /// The same in three steps, so that others need not wait for the disk: run_update() blocks, on
  /// any thread; end_update() makes it the stream's configuration. Requires: no other is under way.
  std::optional<ApiError> begin_update(const StreamConfig& config);
  void run_update();
  std::optional<ApiError> end_update();
  /// The one under way, or null.
  const StreamConfig* next_config() const;
  /// Calls `done` once what was purged or deleted before is durable, by a commit that this asks
  /// for; at once for a stream in memory, or on a full disk, where nothing can be said. Not ok: the
  /// stream has failed.
  using Done = std::function<void(const Status&)>;
  void when_durable(Done done);
  /// Removes everything on disk. Nothing else may be called afterwards. Requires: neither commit
  /// nor compaction is under way.
  Status destroy();
  /// The same in two steps: the first one tells everybody, the second one blocks, on any thread.
  void begin_destroy();
  Status run_destroy();
  /// Consumers and log are closed properly. Requires: neither commit nor compaction is under way.
  Status close();

  // --- For consumers ---

  /// Everything up to here may be shown. MessageReader::next(visible_seq()) reads no further.
  StreamSeq visible_seq() const;
  /// Everything up to here is in the operating system's hands; at or above visible_seq().
  StreamSeq written_seq() const;
  const store::MessageLog& log() const;
  /// How many messages within [from, to] match.
  std::uint64_t count_matching(StreamSeq from, StreamSeq to, store::SubjectFilter& filter) const;
  /// A consumer is done with a message (acknowledged, or delivered with ack none): it goes when the
  /// retention policy says so, which calls needs() for interest. Returns whether it was removed.
  bool acknowledged(StreamSeq seq);
  /// The same for all in [first, last], as by ack all.
  void acknowledged(StreamSeq first, StreamSeq last);
  /// After a consumer was deleted or its filter changed: interest retention removes at or above
  /// `from` what nobody needs any more. (With workqueue and limits: nothing.)
  void sweep(StreamSeq from);
  StreamConsumers* consumers();
  const StreamConsumers* consumers() const;
  /// Where consumers keep their files: a folder that exists, or "" for a stream in memory.
  const std::string& consumers_dir() const;
  const StreamOptions& options() const;

  const std::string& name() const { return config().name; }
  const StreamConfig& config() const;
  std::int64_t created_ns() const;  // Unix time
  const StreamCounters& counters() const;
  const store::RecoveryReport& recovery() const;

 private:
  class Impl;
  explicit Stream(const StreamOptions& options);
  std::unique_ptr<Impl> impl_;
};

}  // namespace feedvault::broker::streams
