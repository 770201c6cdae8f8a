#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "broker/event_loop.h"
#include "broker/inbox.h"
#include "broker/router.h"
#include "broker/stream_host.h"
#include "broker/worker.h"

namespace feedvault::broker {

/// The loop that all streams and consumers live on, beside the workers: one more reader of the
/// index, with an inbox and a router of its own, and without connections. What the streams listen
/// to are subscriptions that belong to this loop, so a captured publish is routed like any other
/// and arrives here in each connection's order. Publishes that no stream captures cost nothing
/// more.
///
/// The index's read lock is taken only to send and given up before anything slow: who subscribes
/// does not wait for a disk.
///
/// Bounds: the inbox by kStreamInboxBytesMax, by not reading from those who publish to streams
/// (Worker::hold_if_streams_are_full); what it delivers by the workers' inboxes and by what each
/// receiver has pending (offer).
class StreamLoop final : public TurnHandler, public StreamHost {
 public:
  /// The last of `loops`. `shared.streams` and `shared.inboxes` must name it before threads run.
  StreamLoop(std::size_t loops, SharedState& shared, std::unique_ptr<EventLoop> loop);
  ~StreamLoop() override;
  StreamLoop(const StreamLoop&) = delete;
  StreamLoop& operator=(const StreamLoop&) = delete;

  /// Before start_thread(); must outlive the thread.
  void set_handler(StreamHandler& handler) { handler_ = &handler; }
  void start_thread();
  void stop_and_join();  // any thread but its own
  EventLoop& loop() { return *loop_; }
  Inbox& inbox() { return inbox_; }

  // --- any thread ---

  /// Must who sends to us wait? `captured`: with messages to be stored.
  bool full(bool captured) const {
    return inbox_.bytes() > (captured ? kStreamInboxBytesMax : kStreamInboxBytesHard);
  }
  bool has_room() const { return inbox_.bytes() < kStreamInboxBytesMax / 2; }
  /// That worker is woken when has_room() becomes true; true when it is so already.
  bool tell_when_there_is_room(std::uint32_t worker);
  /// A subscription was inserted or removed. With the index's lock for writing.
  void interest_may_have_changed(const Subscription& subscription);
  /// One that offer() waited for has caught up, or is gone.
  void receiver_ready();
  /// For monitoring. Not on a loop's thread.
  JetStreamSnapshot snapshot();
  /// All that has arrived is stored and acknowledged, as far as the disk takes it. False when time
  /// was up. Not on a loop's thread; nobody may publish meanwhile.
  bool drain(SteadyTime deadline);

  // StreamHost
  const Clock& clock() const override { return loop_->clock(); }
  std::uint64_t subscribe(std::string_view filter, std::uint64_t tag, Captures captures) override;
  void unsubscribe(std::uint64_t subscription) override;
  std::vector<std::uint64_t> resubscribe(const std::vector<std::uint64_t>& old,
                                         const std::vector<std::string>& filters,
                                         std::uint64_t tag,
                                         Captures captures) override;
  std::size_t send(std::string_view to, const Outgoing& message) override;
  std::optional<std::size_t> offer(std::string_view to, const Outgoing& message) override;
  bool has_interest(std::string_view subject) override;
  void watch_interest(std::string_view subject) override;
  void unwatch_interest(std::string_view subject) override;
  bool can_deliver() override;
  void no_responders(const Sender& to, std::string_view reply) override;
  void refuse(const Sender& to, std::string_view subject, std::string_view why) override;
  void hold(const Sender& publisher) override { set_hold(publisher, /*on=*/true); }
  void release(const Sender& publisher) override { set_hold(publisher, /*on=*/false); }
  void wake_at(SteadyTime when) override;
  void let_go() override { release_lock(); }
  void post(std::function<void()> task) override { loop_->post(std::move(task)); }

  // TurnHandler
  void begin_turn() override {}
  void end_turn() override;

 private:
  struct Listening;
  struct Grave {
    std::unique_ptr<Listening> listening;
    std::uint64_t batches;  // that had come when it died: older ones may name it
  };
  class WakeTimer final : public Timer {
    void on_timer() override {}  // end_turn() does the work
  };

  void set_hold(const Sender& publisher, bool on);
  void lock_for_reading();
  void release_lock();
  void hand_over();
  void fetch();
  void work_off();
  void deliver(const DeliveryBatch::Record& record);
  void tell_interest();
  void tell_receivers();
  void begin_send();
  std::size_t end_send(std::size_t reached);
  Publish written_out(const Outgoing& message);
  bool clients_are_behind() const;
  void announce_room();
  void bury();

  std::uint32_t index_;
  SharedState& shared_;
  std::unique_ptr<EventLoop> loop_;
  Router router_;
  StreamHandler* handler_ = nullptr;
  std::unordered_map<std::uint64_t, std::unique_ptr<Listening>> listening_;
  std::uint64_t next_subscription_ = 1;
  std::deque<Grave> graves_;
  std::deque<DeliveryBatch> batches_;  // taken from the inbox
  std::size_t at_ = 0;                 // in the first of them
  std::uint64_t fetched_ = 0;          // batches, ever
  std::uint64_t worked_off_ = 0;
  WakeTimer timer_;
  bool locked_ = false;  // the index, for reading
  bool handing_over_ = false;
  std::uint32_t sends_ = 0;
  bool clients_behind_ = false;  // when last looked at: at each hand-over
  bool turned_down_ = false;     // by offer(), because of that
  std::string size_text_;
  std::string header_text_;
  std::string body_;  // scratch: headers and payload behind each other

  // Guarded by the index's lock: changed with it held for writing.
  std::map<std::string, std::uint32_t, std::less<>> watched_;
  std::atomic<bool> interest_changed_{false};
  std::atomic<bool> receivers_ready_{false};
  std::unique_ptr<std::atomic<bool>[]> wants_room_;  // by worker

  Inbox inbox_;
  std::thread thread_;
};

}  // namespace feedvault::broker
