#include "broker/worker.h"

#include <malloc.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "broker/limits.h"
#include "broker/stream_loop.h"

namespace feedvault::broker {

Worker::Worker(std::uint32_t index,
               std::size_t loops,
               SharedState& shared,
               std::unique_ptr<EventLoop> loop,
               std::shared_ptr<const Options> use_options,
               std::shared_ptr<const Authenticator> use_authenticator)
    : index_(index),
      shared_(shared),
      loop_(std::move(loop)),
      router_(index, loops, shared.indexes, !use_options->limits.disable_subject_cache),
      read_buffer_(new char[kReadBytes]),
      turn_unix_ns_(loop_->clock().unix_ns()),
      inbox_(*loop_) {
  options = std::move(use_options);
  authenticator = std::move(use_authenticator);
}

Worker::~Worker() {
  stop_and_join();
  loop_->cancel(stall_timer_);
  loop_->cancel(trim_timer_);
  for (auto& [id, connection] : connections_) {
    loop_->cancel(*connection);
    for (auto& [sid, subscription] : connection->subscriptions()) {
      shared_.index_of(*subscription).remove(*subscription);  // all threads have ended
    }
  }
}

void Worker::start_thread() {
  thread_ = std::thread([this] { loop_->run(*this); });
}

void Worker::stop_and_join() {
  if (thread_.joinable()) {
    loop_->stop();
    thread_.join();
  }
}

void Worker::adopt(std::unique_ptr<Transport> transport,
                   std::uint64_t id,
                   Peer peer,
                   const std::string& refusal) {
  auto made =
      std::make_unique<Connection>(*this, index_, id, std::move(transport), std::move(peer));
  Connection& connection = *made;
  const int fd = connection.transport().fd();
  if (const Status added = loop_->add(fd, EPOLLIN, connection); !added.ok()) {
    logger("broker")->error("cannot watch connection cid={} error=\"{}\"", id, added.message());
    load.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  connections_.emplace(id, std::move(made));
  live_.store(connections_.size(), std::memory_order_release);
  counters.connections.add(1);
  if (refusal.empty()) {
    connection.start();
  } else {
    connection.refuse(refusal, close_reasons::kMaxConnectionsExceeded);
  }
}

// --- the turn and its locks ---

void Worker::lock_for_reading() {
  shared_.index_lock.lock_read(index_);
  lock_ = Lock::kRead;
}

// For the rest of this connection's input: many SUBs behind each other take the lock once.
void Worker::lock_for_writing() {
  if (lock_ == Lock::kWrite) {
    return;
  }
  release_lock();
  shared_.index_lock.lock_write();
  lock_ = Lock::kWrite;
}

void Worker::release_lock() {
  if (lock_ == Lock::kNone) {
    return;
  }
  hand_over_outboxes();  // first: see the graveyard
  if (lock_ == Lock::kWrite) {
    shared_.index_lock.unlock_write();
  } else {
    shared_.index_lock.unlock_read(index_);
  }
  lock_ = Lock::kNone;
}

void Worker::begin_turn() {
  removals_left_ = kRemovalsPerTurnMax;
  std::swap(resuming_, suspended_);
  turn_unix_ns_ = loop_->clock().unix_ns();
  lock_for_reading();
  drain_inbox();
}

void Worker::end_turn() {
  resume_suspended();
  // Flushing can close connections, and closing leaves something to flush.
  do {
    bury_closing();
    hand_over_outboxes();
    flush_dirty();
    // The loop may sleep for long now: bury today what died today, its socket above all.
    if (closing_.empty() && !(fresh_.subscriptions.empty() && fresh_.connections.empty())) {
      drain_inbox();
    }
  } while (!closing_.empty() || !dirty_.empty());
  release_stalled(false, nullptr);
  release_held();
  if (chunks.freed_bytes() > kTrimBytes && !trim_timer_.scheduled()) {
    chunks.forget_freed();
    loop_->schedule(trim_timer_, now() + kTrimDelay);
  }
  if (!suspended_.empty() || !burying_.empty()) {
    loop_->wake();
  }
  const MatchCache& cache = router_.cache(Account::kUsers);
  counters.cache_lookups.add(cache.lookups() - counters.cache_lookups.get());
  counters.cache_hits.add(cache.hits() - counters.cache_hits.get());
  counters.cached_matches.add(cache.cached() - counters.cached_matches.get());
  if (drained_) {
    tell_when_drained();
  }
  release_lock();
}

void Worker::tell_when_drained() {
  const bool pending = std::any_of(connections_.begin(), connections_.end(), [](const auto& each) {
    return each.second->pending_bytes() > 0;
  });
  if (!pending) {
    std::exchange(drained_, {})();
  }
}

void Worker::TrimTimer::on_timer() {
  ::malloc_trim(0);
}

void Worker::before_input() {
  if (inbox_.filled()) {
    drain_inbox();
  }
}

// Under such load everybody reads less at once: what suspended connections hold stays small.
std::span<char> Worker::read_buffer() {
  const bool loaded = !suspended_.empty() || !resuming_.empty();
  return {read_buffer_.get(), loaded ? kLoadedReadBytes : kReadBytes};
}

bool Worker::worth_reading_on(bool drained) {
  return (!drained || dirty_.size() >= kManyReceivers) && congested_ == nullptr &&
         suspended_.empty() && !turn_is_long() && !streams_have_enough() &&
         turn_output_bytes < dirty_.size() * kWorthwhileWriteBytes + 1;
}

void Worker::after_input(Connection& connection) {
  hold_if_streams_are_full(connection);
  if (congested_ != nullptr) {
    Connection& receiver = *std::exchange(congested_, nullptr);
    flush_dirty();
    if (receiver.stall_for_producers().count() > 0 && connection.open()) {
      stall(connection, &receiver, now() + kStallMax);
    }
  }
  if (lock_ == Lock::kWrite || shared_.index_lock.write_wanted()) {
    release_lock();
    lock_for_reading();
  }
  wait_for_inboxes();
}

void Worker::route(Connection& from, const Publish& publish) {
  router_.publish(from, publish);
  after_routing(&from);
}

void Worker::system_request(Connection& from, const Publish& publish) {
  const bool reached = router_.route(from, publish);
  after_routing(&from);
  if (!shared_.system_request(from, publish, reached) && !reached && from.wants_no_responders()) {
    router_.send_no_responders(from, publish.reply);
  }
}

void Worker::publish(Account account, std::string_view subject, std::string_view payload) {
  const std::string size = std::to_string(payload.size());
  Publish message;
  message.subject = subject;
  message.total_size = size;
  message.body = payload;
  router_.publish(account, message);
  after_routing(nullptr);
}

void Worker::no_responders(std::uint64_t connection, std::string_view reply) {
  const auto found = connections_.find(connection);
  if (found != connections_.end() && found->second->wants_no_responders()) {
    router_.send_no_responders(*found->second, reply);
    after_routing(nullptr);
  }
}

void Worker::after_routing(Connection* from) {
  if (!expired_.empty()) {
    forget_expired();
  }
  bool much = false;
  if (turn_output_bytes + router_.work() * kWorkBytes > kTurnOutputBytesMax) {
    flush_dirty();
    much = true;
  }
  if (router_.outbox_bytes() > kOutboxBytesMax) {
    hand_over_outboxes();
    wait_for_inboxes();
    much = true;
  }
  if (much && from != nullptr && turn_is_long()) {
    from->suspend_input();
    suspended_.push_back(from);
  }
}

bool Worker::turn_is_long() const {
  return loop_->clock().now() - loop_->now() > kLongTurn;
}

// Those who were suspended in an earlier turn. One goes on in any case.
void Worker::resume_suspended() {
  bool first = true;
  for (Connection* const each : std::exchange(resuming_, {})) {
    if (first || !turn_is_long()) {
      each->resume_input();
    } else {
      suspended_.push_back(each);
    }
    first = false;
  }
}

// --- subscriptions ---

void Worker::insert(Subscription& subscription) {
  lock_for_writing();
  shared_.index_of(subscription).insert(subscription);
  note_interest(subscription);
}

// With the index's lock for writing.
void Worker::note_interest(const Subscription& subscription) {
  if (shared_.streams != nullptr) {
    shared_.streams->interest_may_have_changed(subscription);
  }
}

void Worker::drop(std::unique_ptr<Subscription> subscription) {
  lock_for_writing();
  shared_.index_of(*subscription).remove(*subscription);
  note_interest(*subscription);
  fresh_.subscriptions.push_back(std::move(subscription));
}

void Worker::forget_expired() {
  for (Subscription* const each : std::exchange(expired_, {})) {
    each->connection()->forget_expired(*each);
  }
}

// Who has a million subscriptions must not hold up everybody else when it goes: connections take
// turns with a few each, and what is left waits for the loop's next turn. Until its last one is out
// a connection stays in burying_, deaf and dumb.
void Worker::bury_closing() {
  for (Connection* const connection : std::exchange(closing_, {})) {
    if (const auto waiting = auth_waiting_.find(connection->id()); waiting != auth_waiting_.end()) {
      waiting->second->store(false, std::memory_order_relaxed);
      auth_waiting_.erase(waiting);
    }
    shared_.connection_ended(connection->snapshot(/*with_subscriptions=*/false));
    burying_.push_back(connection);
  }
  while (!burying_.empty() && removals_left_ > 0) {
    Connection& connection = *burying_.front();
    burying_.pop_front();
    auto& subscriptions = connection.subscriptions();
    std::size_t count = std::min({subscriptions.size(), removals_left_, kRemovalsAtOnceMax});
    removals_left_ -= count;
    if (count > 0) {
      lock_for_writing();
      counters.subscriptions.subtract(count);
    }
    for (; count > 0; --count) {
      std::unique_ptr<Subscription> subscription = std::move(subscriptions.begin()->second);
      subscriptions.erase(subscriptions.begin());
      shared_.index_of(*subscription).remove(*subscription);
      note_interest(*subscription);
      subscription->closed = true;
      fresh_.subscriptions.push_back(std::move(subscription));
    }
    if (subscriptions.empty()) {
      connection.wind_up();
    } else {
      burying_.push_back(&connection);
    }
  }
}

void Worker::finished(Connection& connection) {
  loop_->cancel(connection);
  loop_->remove(connection.transport().fd());
  release_stalled(true, &connection);
  std::erase(suspended_, &connection);
  std::erase(resuming_, &connection);
  std::erase(held_, &connection);
  if (congested_ == &connection) {
    congested_ = nullptr;
  }
  const auto found = connections_.find(connection.id());
  CHECK(found != connections_.end());
  fresh_.connections.push_back(std::move(found->second));
  connections_.erase(found);
  counters.connections.subtract(1);
  live_.store(connections_.size(), std::memory_order_release);
  load.fetch_sub(1, std::memory_order_relaxed);
}

// --- output ---

void Worker::flush_dirty() {
  turn_output_bytes = 0;
  router_.forget_work();
  // Flushing appends nothing, so this ends; it may close connections, which end_turn() buries.
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    dirty_[i]->flush_turn();
  }
  dirty_.clear();
}

void Worker::watch(Connection& connection, bool readable, bool writable) {
  loop_->change(connection.transport().fd(),
                (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U),
                connection);
}

// The kernel reports errors whether or not it was asked for them, but once at most like this.
void Worker::mute(Connection& connection) {
  loop_->change(connection.transport().fd(), EPOLLONESHOT, connection);
}

void Worker::schedule(Connection& connection, SteadyTime when) {
  loop_->schedule(connection, when);
}

// --- other loops ---

void Worker::hand_over_outboxes() {
  broker::hand_over_outboxes(router_, shared_.inboxes, inbox_);
}

void Worker::drain_inbox() {
  // What is fresh now was taken out of the index before this drain begins.
  std::swap(ripe_.subscriptions, fresh_.subscriptions);
  std::swap(ripe_.connections, fresh_.connections);
  const std::vector<DeliveryBatch> batches = inbox_.take();
  std::vector<std::pair<std::uint32_t, std::uint64_t>> asked;
  for (const DeliveryBatch& batch : batches) {
    DeliveryBatch::Record record;
    std::size_t at = 0;
    while (batch.next(at, record)) {
      router_.deliver(record);
      if (!expired_.empty()) {
        forget_expired();
      }
      if (std::exchange(congested_, nullptr) != nullptr) {
        const std::pair producer(record.from_loop, record.from_connection);
        if (std::find(asked.begin(), asked.end(), producer) == asked.end()) {
          asked.push_back(producer);
          ask_to_stall(record.from_loop, record.from_connection, congested_stall_);
        }
      }
      if (turn_output_bytes > kTurnOutputBytesMax) {
        flush_dirty();
      }
    }
    inbox_.done(batch);
  }
  ripe_.subscriptions.clear();
  ripe_.connections.clear();
}

// A loop that is far behind makes the others wait, so that its inbox stays bounded. They go on
// draining their own meanwhile and hold no lock while they sleep, so that nobody waits in a circle.
void Worker::wait_for_inboxes() {
  const auto behind = [&] {
    return std::any_of(shared_.workers.begin(), shared_.workers.end(), [&](const auto& worker) {
      return worker.get() != this && worker->inbox_.bytes() > kInboxBytesMax;
    });
  };
  while (behind()) {
    release_lock();
    // A few of these a second at most matter; a condition variable would cost every drain.
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    lock_for_reading();
    drain_inbox();
    flush_dirty();
  }
}

// --- slow receivers ---

// One that takes nothing must not hide another one that is worth waiting for.
void Worker::congested(Connection& receiver) {
  if (const auto stall = receiver.stall_for_producers(); stall.count() > 0) {
    congested_ = &receiver;
    congested_stall_ = stall;
  }
}

void Worker::receiver_ready() {
  shared_.streams->receiver_ready();
}

void Worker::stall(Connection& producer, Connection* receiver, SteadyTime until) {
  if (producer.reading_paused()) {
    return;
  }
  producer.pause_reading();
  stalled_.push_back({&producer, receiver, until});
  if (!stall_timer_.scheduled() || stall_timer_.when() > until) {
    loop_->schedule(stall_timer_, until);
  }
}

// The producer lives on another loop; that one pauses it for a little while. A receiver that stays
// congested asks again.
void Worker::ask_to_stall(std::uint32_t loop,
                          std::uint64_t connection,
                          std::chrono::milliseconds time) {
  if (loop >= shared_.workers.size()) {
    return;  // the streams' loop looks for itself
  }
  Worker& other = *shared_.workers[loop];
  other.loop_->post([&other, connection, time] {
    const auto found = other.connections_.find(connection);
    if (found != other.connections_.end() && found->second->open()) {
      other.stall(*found->second, nullptr, other.now() + time);
    }
  });
}

void Worker::release_stalled(bool all_of, const Connection* connection) {
  if (stalled_.empty()) {
    return;
  }
  const auto over = [&](const Stalled& each) {
    if (all_of) {
      return each.producer == connection || each.receiver == connection;
    }
    return now() >= each.until ||
           (each.receiver != nullptr &&
            (!each.receiver->open() || each.receiver->pending_bytes() < kSoftPendingBytes / 2));
  };
  const auto keep_end = std::stable_partition(
      stalled_.begin(), stalled_.end(), [&](const Stalled& each) { return !over(each); });
  const std::vector<Stalled> released(keep_end, stalled_.end());
  stalled_.erase(keep_end, stalled_.end());
  for (const Stalled& each : released) {
    if (each.producer != connection) {
      each.producer->resume_reading();
    }
  }
  for (const Stalled& each : stalled_) {
    if (!stall_timer_.scheduled() || stall_timer_.when() > each.until) {
      loop_->schedule(stall_timer_, each.until);
    }
  }
}

// --- producers that are faster than the streams store ---

// Asked once a read, not once a message: what one read holds is the most that a producer gets past
// the bound.
bool Worker::streams_have_enough() const {
  return router_.to_streams().messages != to_streams_.messages &&
         shared_.streams->full(/*captured=*/true);
}

void Worker::hold_if_streams_are_full(Connection& connection) {
  const Router::StreamTraffic sent = router_.to_streams();
  if (sent.messages == to_streams_.messages) {
    return;
  }
  const bool captured = sent.captured != to_streams_.captured;
  to_streams_ = sent;
  if (!connection.open() || connection.held() || !shared_.streams->full(captured)) {
    return;
  }
  connection.hold(Connection::Hold::kLoop);
  counters.held_producers.add(1);
  held_.push_back(&connection);
  if (shared_.streams->tell_when_there_is_room(index_)) {
    loop_->wake();  // there is already
  }
}

void Worker::release_held() {
  if (held_.empty() || !shared_.streams->has_room()) {
    return;
  }
  for (Connection* const each : std::exchange(held_, {})) {
    each->release(Connection::Hold::kLoop);
  }
}

// --- the server's wishes ---

bool Worker::authenticate_elsewhere(Connection& connection, ConnectCredentials credentials) {
  // Whoever has gone meanwhile costs nothing when it would be his turn.
  auto wanted = std::make_shared<std::atomic<bool>>(true);
  auth_waiting_[connection.id()] = wanted;
  return shared_.auth_workers.submit([this,
                                      wanted,
                                      id = connection.id(),
                                      nonce = connection.nonce(),
                                      check = authenticator,
                                      credentials = std::move(credentials)]() mutable {
    if (!wanted->load(std::memory_order_relaxed)) {
      credentials.wipe();
      return;
    }
    auto result = check->authenticate(credentials, nonce);
    credentials.wipe();
    loop_->post([this, id, result = std::move(result)] {
      auth_waiting_.erase(id);
      const auto found = connections_.find(id);
      if (found != connections_.end()) {
        Connection& waiting = *found->second;
        waiting.authenticated(result);
        after_input(waiting);
      }
    });
  });
}

std::string Worker::info(const Connection& connection, bool lame_duck) {
  return shared_.info(connection, *options, lame_duck);
}

void Worker::set_options(std::shared_ptr<const Options> new_options,
                         std::shared_ptr<const Authenticator> new_authenticator,
                         bool check_users) {
  options = std::move(new_options);
  authenticator = std::move(new_authenticator);
  for (auto& [id, connection] : connections_) {
    connection->options_changed(check_users);
  }
}

void Worker::stop_reading() {
  for (auto& [id, connection] : connections_) {
    connection->stop_reading();
  }
}

void Worker::hold_publisher(std::uint64_t connection, bool on) {
  const auto found = connections_.find(connection);
  if (found != connections_.end() && found->second->open()) {
    if (on) {
      counters.held_producers.add(1);
      found->second->hold(Connection::Hold::kStream);
    } else {
      found->second->release(Connection::Hold::kStream);
    }
  }
}

void Worker::refuse_publish(std::uint64_t connection, std::string_view text) {
  if (const auto found = connections_.find(connection); found != connections_.end()) {
    found->second->refuse_publish(text);
  }
}

void Worker::announce_lame_duck() {
  for (auto& [id, connection] : connections_) {
    connection->send_info_update(/*lame_duck=*/true);
  }
}

std::size_t Worker::close_some(std::size_t count, std::string_view reason) {
  // What has come for them since this turn began goes out before they do: the last acknowledgements
  // of the streams, say.
  before_input();
  std::size_t open = 0;
  for (auto& [id, connection] : connections_) {
    if (!connection->open()) {
      continue;
    }
    if (count > 0) {
      --count;
      connection->close(reason);
    } else {
      ++open;
    }
  }
  return open;
}

void Worker::close_all(std::string_view reason, std::function<void()> drained) {
  close_some(SIZE_MAX, reason);
  drained_ = std::move(drained);  // at the end of this turn, perhaps: closing flushes before
}

}  // namespace feedvault::broker
