#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "broker/jetstream/api.h"
#include "broker/jetstream/store_folder.h"
#include "broker/jetstream/sync_threads.h"
#include "broker/monitoring.h"
#include "broker/options.h"
#include "broker/stream_host.h"
#include "broker/streams/streams.h"

namespace feedvault::broker::jetstream {

/// Streams on their loop: carries what arrives to the stream, consumer or API that it is for,
/// drives commits and timers, and sends what they have to say.
///
/// A stream's commits: what was stored in a turn is written at its end and synced on another
/// thread; what arrives meanwhile is covered by the next. Publishers whose messages a stream cannot
/// take now are not read from until it can. What administration has for the disk (configurations,
/// new and deleted streams and consumers, compaction) runs on threads of its own.
class Service final : public StreamHandler, public streams::Output, public ApiHost {
 public:
  /// Opens the store and everything in it. kUnavailable when another process has it. `fs` outlives
  /// the service.
  static Result<std::unique_ptr<Service>> open(StreamHost& host,
                                               const JetStreamOptions& options,
                                               store::FileSystem& fs);
  ~Service() override;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // StreamHandler
  void on_message(std::uint64_t tag, const Arrival& arrival) override;
  bool on_turn() override;
  void before_output() override;
  void on_interest() override;
  void on_receivers_ready() override;
  void on_stop() override;
  void on_end() override;
  bool settled() const override;
  JetStreamSnapshot snapshot() const override;

  // streams::Output
  std::size_t deliver(std::string_view to, const streams::OutgoingMessage& message) override;
  std::optional<std::size_t> offer(std::string_view to,
                                   const streams::OutgoingMessage& message) override;
  bool has_interest(std::string_view subject) override { return host_.has_interest(subject); }
  void advisory(streams::Advisory event) override;

  // ApiHost
  void answer(std::string_view reply, std::string_view text) override;
  void no_responders(const Sender& to, std::string_view reply) override;
  std::int64_t unix_ns() const override { return host_.clock().unix_ns(); }
  void stream_created(streams::Stream& stream) override;
  void stream_updated(streams::Stream& stream) override;
  void stream_removed(streams::Stream& stream, std::function<void()> then) override;
  void touched(streams::Stream& stream) override;
  void on_disk(std::function<void()> work, std::function<void()> then) override;
  void later(std::function<void()> task) override;

 private:
  /// A message that its stream could not take yet.
  struct SetAside {
    std::string subject;
    std::string reply;
    std::string headers;
    std::string payload;
    Sender from;
  };
  /// One stream, as the loop sees it.
  struct Served {
    streams::Stream* stream = nullptr;
    std::vector<std::uint64_t> subscriptions;
    std::vector<std::string> subjects;  // ... of those, to see whether they changed
    std::vector<std::string> watched;   // deliver subjects of its consumers
    std::deque<SetAside> set_aside;
    std::map<std::uint64_t, Sender> held;  // who published them, by connection
    std::shared_ptr<SyncJob> syncing;
    bool compacting = false;
    bool told_failure = false;      // the log has it
    std::function<void()> retired;  // it is about to be removed: called when all is back
    SteadyTime deadline = SteadyTime::max();
    bool touched = false;
  };

  Service(StreamHost& host, const JetStreamOptions& options, StoreFolder folder);
  Status open_streams(store::FileSystem& fs);
  void listen(Served& served);
  void stop_listening(Served& served);
  Served& served(streams::Stream& stream);
  void touch(Served& served);

  void store(Served& served, const Arrival& arrival);
  void set_aside(Served& served, const Arrival& arrival);
  void offer_again(Served& served);
  void on_ack(const Arrival& arrival);
  void on_flow_control(const Arrival& arrival);

  void settle(Served& served);
  void watch_deliver_subjects(Served& served);
  void begin_sync(Served& served);
  void end_sync(Served& served);
  void synced(const std::shared_ptr<SyncJob>& job);
  void begin_compaction(Served& served);
  void retire(Served& served);
  static void count(const streams::Stream& stream, JetStreamSnapshot& shot);
  void chore_done(const std::shared_ptr<SyncJob>& job);
  void finish_chores();
  void schedule(Served& served);
  bool run_timers();

  StreamHost& host_;
  const JetStreamOptions options_;
  StoreFolder folder_;
  std::optional<streams::StoreBudget> file_budget_;  // before the streams, which give back to it
  std::optional<streams::StoreBudget> memory_budget_;
  std::unique_ptr<streams::Streams> streams_;
  std::unique_ptr<Api> api_;
  std::string api_prefix_;  // of the domain's API; "" without one
  std::map<streams::Stream*, std::unique_ptr<Served>> served_;
  std::vector<Served*> touched_;
  std::vector<Served*> settling_;  // just now
  std::set<std::pair<SteadyTime, Served*>> deadlines_;
  std::uint64_t next_advisory_ = 0;
  std::string advisory_prefix_;
  bool ended_ = false;
  std::optional<SteadyTime> stopping_since_;
  SteadyTime next_warning_;
  std::uint64_t refused_ = 0;  // publishes without a reply, ever
  JetStreamSnapshot gone_;     // counters of streams that were removed
  /// What runs on chores_, and what follows here.
  std::vector<std::pair<std::shared_ptr<SyncJob>, std::function<void()>>> chores_under_way_;
  bool compacting_ = false;               // some stream is: one at a time
  std::unique_ptr<SyncThreads> threads_;  // last: its threads use the streams
  std::unique_ptr<SyncThreads> chores_;   // likewise; apart, so that no commit waits behind one
};

}  // namespace feedvault::broker::jetstream
