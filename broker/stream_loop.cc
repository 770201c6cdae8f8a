#include "broker/stream_loop.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/check.h"
#include "base/subject.h"
#include "broker/connect_options.h"
#include "broker/limits.h"
#include "broker/monitoring.h"

namespace feedvault::broker {

/// What we listen to, and where that goes.
struct StreamLoop::Listening {
  Listening(std::uint32_t loop, std::string_view filter, std::uint64_t use_tag)
      : subscription(nullptr, loop, filter, {}, {}), tag(use_tag) {}
  Subscription subscription;  // first: a record's target is its address
  std::uint64_t tag;
};

namespace {

// A worker's turn is over when the loop's own inbox was looked at this often without room there.
constexpr auto kDeliveryRetry = std::chrono::milliseconds(1);
// Sends between two looks at whether somebody wants to change the index.
constexpr std::uint32_t kSendsUnderLock = 64;

}  // namespace

StreamLoop::StreamLoop(std::size_t loops, SharedState& shared, std::unique_ptr<EventLoop> loop)
    : index_(static_cast<std::uint32_t>(loops - 1)),
      shared_(shared),
      loop_(std::move(loop)),
      router_(index_, loops, shared.indexes, /*cache_enabled=*/true, Router::Serves::kStreams),
      wants_room_(std::make_unique<std::atomic<bool>[]>(loops)),
      inbox_(*loop_) {}

StreamLoop::~StreamLoop() {
  stop_and_join();
  loop_->cancel(timer_);
  for (auto& [id, listening] : listening_) {
    shared_.indexes[index_of(Account::kUsers)].remove(listening->subscription);
  }
}

void StreamLoop::start_thread() {
  thread_ = std::thread([this] { loop_->run(*this); });
  loop_->wake();
}

void StreamLoop::stop_and_join() {
  if (thread_.joinable()) {
    loop_->stop();
    thread_.join();
  }
}

// --- the turn ---

void StreamLoop::end_turn() {
  fetch();
  work_off();
  release_lock();
  clients_behind_ = clients_are_behind();
  tell_interest();
  tell_receivers();
  const bool more = handler_->on_turn();
  release_lock();
  announce_room();
  bury();
  if (more || !batches_.empty()) {
    loop_->wake();
  }
}

void StreamLoop::fetch() {
  std::vector<DeliveryBatch> fresh = inbox_.take();
  fetched_ += fresh.size();
  for (DeliveryBatch& batch : fresh) {
    batches_.push_back(std::move(batch));
  }
}

// Some of what has come: large inboxes are stored and acknowledged piece by piece.
void StreamLoop::work_off() {
  std::size_t bytes = 0;
  while (!batches_.empty() && bytes < kStreamSliceBytes) {
    const DeliveryBatch& batch = batches_.front();
    const std::size_t before = at_;
    DeliveryBatch::Record record;
    bool whole = true;
    while (batch.next(at_, record)) {
      deliver(record);
      if (bytes + (at_ - before) >= kStreamSliceBytes) {
        whole = batch.at_end(at_);
        break;
      }
    }
    bytes += at_ - before;
    if (whole) {
      inbox_.done(batch);
      batches_.pop_front();
      at_ = 0;
      ++worked_off_;
    }
  }
}

void StreamLoop::deliver(const DeliveryBatch::Record& record) {
  const Publish& message = record.message;
  Arrival arrival;
  arrival.subject = message.subject;
  arrival.reply = message.reply;
  arrival.headers = message.body.substr(0, message.header_bytes);
  arrival.payload = message.body.substr(message.header_bytes);
  arrival.from = {record.from_loop, record.from_connection};
  for (std::uint32_t i = 0; i < record.target_count; ++i) {
    // Never chosen from a queue group: the lowest bit is clear.
    const auto* listening = reinterpret_cast<const Listening*>(record.targets[i]);
    if (!listening->subscription.closed) {
      handler_->on_message(listening->tag, arrival);
    } else if (!message.reply.empty()) {
      no_responders(arrival.from, message.reply);
    }
  }
}

// --- the index and its lock ---

void StreamLoop::lock_for_reading() {
  if (!locked_) {
    shared_.index_lock.lock_read(index_);
    locked_ = true;
  }
}

void StreamLoop::hand_over() {
  if (!handing_over_ && router_.outbox_bytes() > 0) {
    handing_over_ = true;
    handler_->before_output();
    handing_over_ = false;
    hand_over_outboxes(router_, shared_.inboxes, inbox_);
    clients_behind_ = clients_are_behind();
  }
}

void StreamLoop::release_lock() {
  if (locked_ && !handing_over_) {
    hand_over();  // first: see Worker's graveyard
    shared_.index_lock.unlock_read(index_);
    locked_ = false;
    if (inbox_.filled()) {
      loop_->wake();  // something to ourselves
    }
  }
}

std::uint64_t StreamLoop::subscribe(std::string_view filter, std::uint64_t tag, Captures captures) {
  return resubscribe({}, {std::string(filter)}, tag, captures).front();
}

void StreamLoop::unsubscribe(std::uint64_t subscription) {
  const auto found = listening_.find(subscription);
  CHECK(found != listening_.end());
  found->second->subscription.closed = true;
  resubscribe({subscription}, {}, 0, Captures::kNo);
}

std::vector<std::uint64_t> StreamLoop::resubscribe(const std::vector<std::uint64_t>& old,
                                                   const std::vector<std::string>& filters,
                                                   std::uint64_t tag,
                                                   Captures captures) {
  std::vector<std::unique_ptr<Listening>> gone;
  for (const std::uint64_t id : old) {
    const auto found = listening_.find(id);
    CHECK(found != listening_.end());
    gone.push_back(std::move(found->second));
    listening_.erase(found);
  }
  std::vector<std::uint64_t> ids;
  std::vector<Listening*> fresh;
  for (const std::string& filter : filters) {
    auto made = std::make_unique<Listening>(index_, filter, tag);
    made->subscription.captures = captures == Captures::kYes;
    fresh.push_back(made.get());
    ids.push_back(next_subscription_++);
    listening_.emplace(ids.back(), std::move(made));
  }
  SubjectIndex& index = shared_.indexes[index_of(Account::kUsers)];
  release_lock();
  shared_.index_lock.lock_write();
  for (const auto& each : gone) {
    index.remove(each->subscription);
  }
  for (Listening* const each : fresh) {
    index.insert(each->subscription);
  }
  shared_.index_lock.unlock_write();
  // Who had found an old one in the index has handed that over before we got the lock.
  fetch();
  for (auto& each : gone) {
    graves_.push_back({std::move(each), fetched_});
  }
  return ids;
}

void StreamLoop::bury() {
  while (!graves_.empty() && graves_.front().batches <= worked_off_) {
    graves_.pop_front();
  }
}

// --- out ---

std::size_t StreamLoop::send(std::string_view to, const Outgoing& message) {
  begin_send();
  return end_send(router_.send(to, written_out(message)));
}

std::optional<std::size_t> StreamLoop::offer(std::string_view to, const Outgoing& message) {
  if (clients_behind_) {
    turned_down_ = true;
    wake_at(loop_->now() + kDeliveryRetry);
    return std::nullopt;
  }
  begin_send();
  const auto reached = router_.offer(to, written_out(message));
  return reached ? std::optional(end_send(*reached)) : std::nullopt;
}

void StreamLoop::begin_send() {
  if (++sends_ % kSendsUnderLock == 0 && shared_.index_lock.write_wanted()) {
    release_lock();
  }
  lock_for_reading();
}

std::size_t StreamLoop::end_send(std::size_t reached) {
  if (router_.outbox_bytes() > kStreamOutboxBytesMax) {
    hand_over();
  }
  return reached;
}

// As the router wants it. Views live until the next call.
Publish StreamLoop::written_out(const Outgoing& message) {
  Publish publish;
  publish.subject = message.subject;
  publish.reply = message.reply;
  publish.header_bytes = static_cast<std::uint32_t>(message.headers.size());
  if (message.headers.empty()) {
    publish.body = message.payload;
  } else {
    body_.assign(message.headers).append(message.payload);
    publish.body = body_;
    header_text_ = std::to_string(message.headers.size());
    publish.header_size = header_text_;
  }
  size_text_ = std::to_string(publish.body.size());
  publish.total_size = size_text_;
  return publish;
}

bool StreamLoop::clients_are_behind() const {
  return std::any_of(shared_.workers.begin(), shared_.workers.end(), [](const auto& worker) {
    return worker->inbox().bytes() > kDeliveryInboxBytes;
  });
}

bool StreamLoop::can_deliver() {
  clients_behind_ = clients_are_behind();
  if (clients_behind_) {
    wake_at(loop_->now() + kDeliveryRetry);
  }
  return !clients_behind_;
}

void StreamLoop::no_responders(const Sender& to, std::string_view reply) {
  if (to.loop < shared_.workers.size() && to.connection != 0) {
    Worker& worker = *shared_.workers[to.loop];
    worker.loop().post([&worker, connection = to.connection, reply = std::string(reply)] {
      worker.no_responders(connection, reply);
    });
  }
}

void StreamLoop::refuse(const Sender& to, std::string_view subject, std::string_view why) {
  if (to.loop < shared_.workers.size() && to.connection != 0) {
    Worker& worker = *shared_.workers[to.loop];
    std::string text = go_quoted(subject) + ": " + std::string(why);
    worker.loop().post([&worker, connection = to.connection, text = std::move(text)] {
      worker.refuse_publish(connection, text);
    });
  }
}

// --- interest ---

bool StreamLoop::has_interest(std::string_view subject) {
  lock_for_reading();
  return router_.has_interest(subject);
}

void StreamLoop::watch_interest(std::string_view subject) {
  release_lock();
  shared_.index_lock.lock_write();
  ++watched_[std::string(subject)];
  shared_.index_lock.unlock_write();
}

void StreamLoop::unwatch_interest(std::string_view subject) {
  release_lock();
  shared_.index_lock.lock_write();
  if (const auto found = watched_.find(subject); found != watched_.end() && --found->second == 0) {
    watched_.erase(found);
  }
  shared_.index_lock.unlock_write();
}

// Wildcards could concern any of them: those are looked at when it is our turn.
void StreamLoop::interest_may_have_changed(const Subscription& subscription) {
  if (watched_.empty() || subscription.connection() == nullptr) {
    return;
  }
  const std::string_view filter = subscription.subject();
  if (has_wildcard(filter) || watched_.find(filter) != watched_.end()) {
    interest_changed_.store(true, std::memory_order_release);
    loop_->wake();
  }
}

void StreamLoop::tell_interest() {
  if (interest_changed_.exchange(false, std::memory_order_acq_rel)) {
    handler_->on_interest();
    release_lock();
  }
}

// --- receivers that take little ---

void StreamLoop::receiver_ready() {
  receivers_ready_.store(true, std::memory_order_release);
  loop_->wake();
}

void StreamLoop::tell_receivers() {
  const bool ready = receivers_ready_.exchange(false, std::memory_order_acq_rel);
  if (ready || (turned_down_ && !clients_behind_)) {
    turned_down_ = false;
    handler_->on_receivers_ready();
    release_lock();
  } else if (turned_down_) {
    wake_at(loop_->now() + kDeliveryRetry);
  }
}

// --- room ---

// Either this sees the room that was made before it, or announce_room() sees the wish.
bool StreamLoop::tell_when_there_is_room(std::uint32_t worker) {
  wants_room_[worker].store(true, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return has_room();
}

void StreamLoop::announce_room() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!has_room()) {
    return;
  }
  for (std::size_t i = 0; i < shared_.workers.size(); ++i) {
    if (wants_room_[i].load(std::memory_order_seq_cst)) {
      wants_room_[i].store(false, std::memory_order_seq_cst);
      shared_.workers[i]->loop().wake();
    }
  }
}

void StreamLoop::set_hold(const Sender& publisher, bool on) {
  if (publisher.loop < shared_.workers.size() && publisher.connection != 0) {
    Worker& worker = *shared_.workers[publisher.loop];
    worker.loop().post([&worker, connection = publisher.connection, on] {
      worker.hold_publisher(connection, on);
    });
  }
}

void StreamLoop::wake_at(SteadyTime when) {
  if (!timer_.scheduled() || timer_.when() > when) {
    loop_->schedule(timer_, when);
  }
}

JetStreamSnapshot StreamLoop::snapshot() {
  CHECK(!EventLoop::on_loop_thread());
  auto answer = std::make_shared<std::promise<JetStreamSnapshot>>();
  loop_->post([this, answer] { answer->set_value(handler_->snapshot()); });
  JetStreamSnapshot shot = answer->get_future().get();
  shot.inbox_bytes = inbox_.bytes();
  return shot;
}

bool StreamLoop::drain(SteadyTime deadline) {
  CHECK(!EventLoop::on_loop_thread());
  loop_->post([this] { handler_->on_stop(); });
  bool settled = false;
  while (!settled && clock().now() < deadline) {
    auto answer = std::make_shared<std::promise<bool>>();
    loop_->post([this, answer] {
      answer->set_value(batches_.empty() && inbox_.bytes() == 0 && handler_->settled());
    });
    settled = answer->get_future().get();
    if (!settled) {
      // A disk is being waited for, which tells the loop, not us.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  auto ended = std::make_shared<std::promise<void>>();
  loop_->post([this, ended] {
    handler_->on_end();
    release_lock();  // what it sent is on its way before anybody is told
    ended->set_value();
  });
  ended->get_future().get();
  return settled;
}

}  // namespace feedvault::broker
