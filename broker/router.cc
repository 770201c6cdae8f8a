#include "broker/router.h"

#include <algorithm>

#include "base/check.h"
#include "base/subject.h"
#include "broker/limits.h"

namespace feedvault::broker {
namespace {

constexpr std::size_t kAlignment = alignof(std::uintptr_t);
constexpr std::uintptr_t kQueueBit = 1;
constexpr std::uint32_t kNoLoop = ~std::uint32_t{0};
static_assert(alignof(Subscription) > kQueueBit);

std::size_t padded(std::size_t bytes) {
  return (bytes + kAlignment - 1) & ~(kAlignment - 1);
}

}  // namespace

struct DeliveryBatch::Head {
  std::uint64_t from_connection;
  std::uint32_t from_loop;
  std::uint32_t retries;
  std::uint32_t target_count;
  std::uint32_t subject_bytes;
  std::uint32_t tail_bytes;
  std::uint32_t reply_bytes;
  std::uint32_t body_bytes;
  std::uint32_t header_bytes;
};

char* DeliveryBatch::extend(std::size_t bytes) {
  if (size_ + bytes > capacity_) {
    const std::size_t larger = std::max({size_ + bytes, 2 * capacity_, std::size_t{4096}});
    std::unique_ptr<char[]> moved(new char[larger]);
    if (size_ > 0) {
      std::memcpy(moved.get(), bytes_.get(), size_);
    }
    bytes_ = std::move(moved);
    capacity_ = larger;
  }
  char* const at = bytes_.get() + size_;
  size_ += bytes;
  return at;
}

void DeliveryBatch::begin(const Publish& message,
                          std::uint32_t from_loop,
                          std::uint64_t from_connection,
                          std::uint32_t retries) {
  head_at_ = size_;
  message_bytes_ = sizeof(Head) + message.subject.size() + message.tail.size();
  Head head{};
  head.from_connection = from_connection;
  head.from_loop = from_loop;
  head.retries = retries;
  head.subject_bytes = static_cast<std::uint32_t>(message.subject.size());
  head.tail_bytes = static_cast<std::uint32_t>(message.tail.size());
  head.reply_bytes = static_cast<std::uint32_t>(message.reply.size());
  head.body_bytes = static_cast<std::uint32_t>(message.body.size());
  head.header_bytes = message.header_bytes;
  char* at = extend(padded(sizeof head + message.subject.size() + message.tail.size()));
  std::memcpy(at, &head, sizeof head);
  at += sizeof head;
  std::memcpy(at, message.subject.data(), message.subject.size());
  std::memcpy(at + message.subject.size(), message.tail.data(), message.tail.size());
}

void DeliveryBatch::add_target(Subscription& subscription, bool of_queue) {
  const std::uintptr_t target =
      reinterpret_cast<std::uintptr_t>(&subscription) | (of_queue ? kQueueBit : 0);
  std::memcpy(extend(sizeof target), &target, sizeof target);
  delivered_bytes_ += message_bytes_;
  Head head{};
  std::memcpy(&head, bytes_.get() + head_at_, sizeof head);
  ++head.target_count;
  std::memcpy(bytes_.get() + head_at_, &head, sizeof head);
}

bool DeliveryBatch::next(std::size_t& at, Record& record) const {
  if (at >= size_) {
    return false;
  }
  Head head{};
  std::memcpy(&head, bytes_.get() + at, sizeof head);
  const char* const text = bytes_.get() + at + sizeof head;
  const std::string_view tail(text + head.subject_bytes, head.tail_bytes);
  record.message = {
      .subject = {text, head.subject_bytes},
      .reply = tail.substr(0, head.reply_bytes),
      .header_size = {},
      .total_size = {},
      .body = tail.substr(head.tail_bytes - head.body_bytes - std::size_t{2}, head.body_bytes),
      .header_bytes = head.header_bytes,
      .tail = tail};
  record.from_loop = head.from_loop;
  record.from_connection = head.from_connection;
  record.retries = head.retries;
  record.target_count = head.target_count;
  at += padded(sizeof head + head.subject_bytes + head.tail_bytes);
  record.targets = reinterpret_cast<const std::uintptr_t*>(bytes_.get() + at);
  at += head.target_count * sizeof(std::uintptr_t);
  return true;
}

std::string_view make_tail(const Publish& publish, std::string& scratch) {
  scratch.clear();
  if (!publish.reply.empty()) {
    scratch.append(publish.reply).push_back(' ');
  }
  if (publish.header_bytes > 0) {
    scratch.append(publish.header_size).push_back(' ');
  }
  scratch.append(publish.total_size).append("\r\n").append(publish.body).append("\r\n");
  return scratch;
}

// System users are few: their subjects are looked up each time.
Router::Router(std::uint32_t loop,
               std::size_t loops,
               const std::array<SubjectIndex, kAccounts>& indexes,
               bool cache_enabled,
               Serves serves)
    : loop_(loop),
      local_(serves == Serves::kConnections ? loop : kNoLoop),
      caches_{MatchCache(indexes[index_of(Account::kUsers)], cache_enabled),
              MatchCache(indexes[index_of(Account::kSystem)], /*enabled=*/false)},
      outboxes_(loops),
      begun_(loops),
      random_state_(hash_text("router", process_hash_seed() + loop) | 1U) {}

// xorshift: a choice among queue members needs speed, not secrecy.
std::uint64_t Router::random() {
  random_state_ ^= random_state_ << 13U;
  random_state_ ^= random_state_ >> 7U;
  random_state_ ^= random_state_ << 17U;
  return random_state_;
}

void Router::publish(Connection& from, const Publish& publish) {
  if (!route(from, publish) && !publish.reply.empty() && from.wants_no_responders()) {
    send_no_responders(from, publish.reply);
  }
}

bool Router::route(Connection& from, const Publish& publish) {
  return carry(from.account(), publish.subject, publish, {&from, from.id(), loop_, 0}) > 0;
}

void Router::publish(Account account, const Publish& publish) {
  carry(account, publish.subject, publish, {nullptr, 0, loop_, 0});
}

std::size_t Router::send(std::string_view to, const Publish& publish) {
  return carry(Account::kUsers, to, publish, {nullptr, 0, loop_, 0});
}

std::optional<std::size_t> Router::offer(std::string_view to, const Publish& publish) {
  const auto awaited = [](const Subscription* each) {
    return each->connection() != nullptr && each->connection()->receiving().await();
  };
  const auto all_awaited = [&](const QueueMembers& members) {
    return std::all_of(members.begin(), members.end(), awaited);
  };
  const MatchResult& found = caches_[index_of(Account::kUsers)].match(to);
  if (std::any_of(found.plain.begin(), found.plain.end(), awaited) ||
      std::any_of(found.queues.begin(), found.queues.end(), all_awaited)) {
    return std::nullopt;
  }
  return spread(found, publish, {nullptr, 0, loop_, 0, /*spares_congested=*/true});
}

bool Router::has_interest(std::string_view subject) {
  const auto is_client = [](const Subscription* each) { return each->connection() != nullptr; };
  const MatchResult& found = caches_[index_of(Account::kUsers)].match(subject);
  return !found.queues.empty() || std::any_of(found.plain.begin(), found.plain.end(), is_client);
}

std::size_t Router::carry(Account account,
                          std::string_view to,
                          const Publish& publish,
                          const Origin& origin) {
  return spread(caches_[index_of(account)].match(to), publish, origin);
}

std::size_t Router::spread(const MatchResult& found, const Publish& publish, const Origin& origin) {
  work_ += found.work;
  if (found.empty()) {
    return 0;
  }
  if (!publish.tail.empty()) {
    return deliver_to_all(found, publish, origin);
  }
  Publish completed = publish;
  completed.tail = make_tail(publish, tail_);
  const std::size_t reached = deliver_to_all(found, completed, origin);
  if (tail_.capacity() > kReadBytes) {
    std::string().swap(tail_);
  }
  return reached;
}

std::size_t Router::deliver_to_all(const MatchResult& found,
                                   const Publish& message,
                                   const Origin& origin) {
  if (outboxes_.size() > 1) {
    std::fill(begun_.begin(), begun_.end(), false);
  }
  std::size_t reached = 0;
  for (Subscription* const each : found.plain) {
    reached += deliver_to(*each, message, origin, /*of_queue=*/false) ? 1U : 0U;
  }
  for (const QueueMembers& members : found.queues) {
    reached += deliver_to_queue(members, message, origin) ? 1U : 0U;
  }
  return reached;
}

bool Router::deliver_to(Subscription& subscription,
                        const Publish& message,
                        const Origin& origin,
                        bool of_queue) {
  if (subscription.loop() == local_) {
    Connection& connection = *subscription.connection();
    if (&connection == origin.connection && !connection.wants_echo()) {
      return false;
    }
    return connection.deliver(subscription, message);
  }
  DeliveryBatch& outbox = outboxes_[subscription.loop()];
  const std::size_t before = outbox.delivered_bytes();
  if (!begun_[subscription.loop()]) {
    begun_[subscription.loop()] = true;
    outbox.begin(message, origin.loop, origin.id, origin.retries);
  }
  outbox.add_target(subscription, of_queue);
  outbox_bytes_ += outbox.delivered_bytes() - before;
  if (subscription.connection() == nullptr) {
    ++to_streams_.messages;
    to_streams_.captured += subscription.captures ? 1U : 0U;
  }
  return true;
}

bool Router::deliver_to_queue(const QueueMembers& members,
                              const Publish& message,
                              const Origin& origin) {
  const std::size_t count = members.size();
  std::size_t choice = count == 1 ? 0 : random() % count;
  for (std::size_t tried = 0; tried < count; ++tried) {
    Subscription& member = *members[choice];
    const bool spared = origin.spares_congested && tried + 1 < count &&
                        member.connection() != nullptr &&
                        member.connection()->receiving().congested();
    if (!spared && deliver_to(member, message, origin, /*of_queue=*/true)) {
      return true;
    }
    choice = choice + 1 == count ? 0 : choice + 1;
  }
  return false;
}

void Router::deliver(const DeliveryBatch::Record& record) {
  for (std::uint32_t i = 0; i < record.target_count; ++i) {
    const std::uintptr_t target = record.targets[i];
    auto& subscription = *reinterpret_cast<Subscription*>(target & ~kQueueBit);
    CHECK(subscription.loop() == loop_);
    if (subscription.connection()->deliver(subscription, record.message) ||
        (target & kQueueBit) == 0 || record.retries >= kQueueRetriesMax) {
      continue;
    }
    // The chosen member went while the message was on its way: another one of its group gets it.
    const Origin origin{nullptr, record.from_connection, record.from_loop, record.retries + 1};
    std::fill(begun_.begin(), begun_.end(), false);
    MatchCache& cache = caches_[index_of(subscription.connection()->account())];
    // Streams deliver under the stored subject, which need not be the one that was listened to.
    const std::string_view to =
        has_wildcard(subscription.subject()) ? record.message.subject : subscription.subject();
    for (const QueueMembers& members : cache.match(to).queues) {
      if (members.front()->queue() == subscription.queue()) {
        deliver_to_queue(members, record.message, origin);
      }
    }
  }
}

void Router::send_no_responders(Connection& to, std::string_view reply) {
  for (Subscription* const each : caches_[index_of(to.account())].match(reply).plain) {
    if (each->connection() == &to && !each->closed) {
      to.deliver_no_responders(*each, reply);
      return;
    }
  }
}

}  // namespace feedvault::broker
