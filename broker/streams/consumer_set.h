#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "broker/streams/api_error.h"
#include "broker/streams/consumer.h"
#include "broker/streams/stream_consumers.h"

namespace feedvault::broker::streams {

class Stream;

/// All consumers of one stream, by name. Owned by the stream; same thread.
///
/// The loop's part, besides the calls of Stream that reach this:
///   - before its output leaves for other threads: flush();
///   - when wants_sync() says so: begin_sync(), run() on the sync thread, end_sync() with its
///     result. That is how acknowledgements that wait for an answer get it;
///   - when Output::offer() may take again what it did not take: on_receivers_ready();
///   - when somebody subscribes to, or leaves, a push consumer's deliver subject:
///     on_interest_changed(). (They also look for themselves, a few times a second.)
class ConsumerSet final : public StreamConsumers, private ConsumerWatch {
 public:
  /// For StreamOptions::consumers. Reads back what is stored; a consumer that cannot be read is
  /// left where it is and told of by unusable(). While there is one, interest retention keeps
  /// everything: nobody knows what it had not seen.
  static Result<std::unique_ptr<StreamConsumers>> open(Stream& stream);

  ~ConsumerSet() override;
  ConsumerSet(const ConsumerSet&) = delete;
  ConsumerSet& operator=(const ConsumerSet&) = delete;

  enum class CreateAction : std::uint8_t { kCreateOrUpdate, kCreate, kUpdate };
  struct Created {
    Consumer* consumer = nullptr;
    bool existed = false;
    bool updated = false;
  };
  /// The API's CONSUMER.CREATE and its kin: checks the configuration, fills in defaults, creates or
  /// updates. A config without any name makes an ephemeral one with a name of its own. Durable on
  /// return, unless it is in memory.
  ApiResult<Created> create(ConsumerConfig config, CreateAction action);
  /// The same in three steps, so that others need not wait for the disk.
  class Creation {
   public:
    /// Known at once: a refusal, or a consumer that existed or is in memory; only an update is not
    /// durable yet (Consumer::when_durable). Nothing: run() and end_create() are needed.
    const std::optional<ApiResult<Created>>& outcome() const { return outcome_; }
    /// Blocks. Any thread, once.
    void run();

   private:
    friend class ConsumerSet;
    std::optional<ApiResult<Created>> outcome_;
    std::unique_ptr<Consumer> consumer_;
    std::string path_;
    Status stored_;
  };
  /// Requires: no other creation is under way, and none when the stream goes.
  std::shared_ptr<Creation> begin_create(ConsumerConfig config, CreateAction action);
  ApiResult<Created> end_create(Creation& creation);

  /// CONSUMER.DELETE. Who waits is told; the consumer is gone, and its file with the next sync,
  /// which wants_sync() asks for: then `done` is called.
  std::optional<ApiError> remove(std::string_view name, Consumer::Done done);
  /// The same at once.
  std::optional<ApiError> remove(std::string_view name);
  /// CONSUMER.PAUSE: until this Unix time, or nothing to go on. The consumer. Durable as an update.
  ApiResult<Consumer*> pause(std::string_view name, std::optional<std::int64_t> until_ns);

  /// nullptr when there is none.
  Consumer* find(std::string_view name) const;
  /// Sorted by name.
  std::vector<Consumer*> list() const;

  /// Of the consumers whose deliver subject matches: somebody came or went.
  void on_interest_changed(std::string_view deliver_subject);
  bool awaits_receivers() const { return !awaiting_.empty(); }
  void on_receivers_ready();

  /// Hands the state of all consumers to the operating system.
  void flush();
  /// The same in the middle of a consumer's work, before what it has sent so far leaves: when it
  /// wants to go on is only known at the end of that work.
  void flush_before_output();

  /// The file of a consumer that is gone.
  struct Removal {
    std::unique_ptr<ConsumerFile> file;
    store::Promise promise;
    Consumer::Done done;  // may be empty
    Status result;
  };
  /// States on their way to the disk, files to be removed. run() is for another thread, once.
  class Sync {
   public:
    void run();

   private:
    friend class ConsumerSet;
    struct One {
      std::string consumer;
      std::uint64_t id = 0;
      store::StateFile::Sync sync;
      Status result;
    };
    std::vector<One> all_;
    std::vector<Removal> removals_;
  };
  bool wants_sync() const;
  /// Of all consumers that have something to sync. flush() is included.
  Sync begin_sync();
  void end_sync(Sync& sync);

  struct Unusable {
    std::string path;
    Status why;
  };
  const std::vector<Unusable>& unusable() const { return unusable_; }
  /// Consumers whose file held an older state than the last one.
  const std::vector<std::string>& damaged() const { return damaged_; }

  /// Consumers whose state could not be written in this run, by what went wrong. Each is told once.
  struct Failed {
    std::string consumer;
    Status why;
  };
  std::vector<Failed> take_failed() { return std::exchange(untold_failed_, {}); }
  /// How many there are.
  std::size_t failed_count() const;

  // StreamConsumers
  std::size_t count() const override { return consumers_.size(); }
  void on_visible() override;
  void on_written() override;
  bool wants_written() const override { return !early_.empty(); }
  void on_removed(StreamSeq first, StreamSeq last) override;
  void on_config_changed() override;
  void on_stream_deleted() override;
  void on_shutdown() override;
  bool wants(std::string_view subject) const override;
  bool needs(StreamSeq seq, std::string_view subject) const override;
  bool is_done(StreamSeq seq, std::string_view subject) const override;
  SteadyTime next_deadline() const override;
  void on_timer() override;

 private:
  explicit ConsumerSet(Stream& stream) : stream_(stream) {}
  void touched(Consumer& consumer) override { touched_.push_back(&consumer); }
  void awaits_receivers(Consumer& consumer) override { awaiting_.push_back(&consumer); }
  void failed(Consumer& consumer) override {
    untold_failed_.push_back({consumer.name(), consumer.failure()});
  }
  void settle() const;
  void flush(const std::vector<Consumer*>& consumers);
  Consumer& insert(std::unique_ptr<Consumer> consumer);
  Status open_all();
  ApiResult<Created> update(Consumer& consumer, const ConsumerConfig& config);
  std::optional<ApiError> check_against_others(const ConsumerConfig& config) const;
  std::string new_name() const;
  std::string new_path();
  void erase(Consumer& consumer, Consumer::Done done);
  static void drop(std::vector<Consumer*>& list, const Consumer& consumer);

  Stream& stream_;
  std::map<std::string, std::unique_ptr<Consumer>, std::less<>> consumers_;
  std::uint64_t last_file_ = 0;
  std::uint64_t last_id_ = 0;
  // Kept up to date when somebody asks: most turns concern few consumers of many.
  mutable std::vector<Consumer*> touched_;
  mutable std::vector<Consumer*> unflushed_;
  mutable std::set<std::pair<std::int64_t, Consumer*>> deadlines_;  // all, by the next one
  mutable std::unordered_map<Consumer*, std::int64_t> deadline_of_;
  std::vector<Consumer*> unsynced_;
  std::vector<Consumer*> awaiting_;  // receivers
  std::vector<Consumer*> early_;     // who get what is written
  std::vector<Removal> removals_;
  bool creating_ = false;
  std::vector<Unusable> unusable_;
  std::vector<std::string> damaged_;
  std::vector<Failed> untold_failed_;
};

/// The stream was made with ConsumerSet::open.
ConsumerSet& consumers_of(Stream& stream);

}  // namespace feedvault::broker::streams
