#include <algorithm>
#include <array>
#include <atomic>

#include "client/nats/header_block.h"
#include "client/nats/native.h"

// Headers. cnats' own reader turns a block into a hash table, five allocations and more a message,
// and takes the next line for the value of an empty header: one careless producer's "Trace:" would
// hide its Nats-Msg-Id from us. Its public functions do not give the block. But a received natsMsg
// is one piece of memory,
//
//   ... subject \0 [reply \0] [block \0] data
//
// of which they give subject, reply and data, and so the block between them. That this library lays
// messages out so is tried once, with a message of known size, before it is relied on.

namespace feedvault::nats {
namespace {

std::atomic<bool> block_between{false};

natsMsg* as_msg(void* native) {
  return static_cast<natsMsg*>(native);
}

std::string_view view(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

/// What lies between reply and data, without the closing zero; empty when there is nothing.
std::string_view between(const natsMsg* msg) {
  const char* text = natsMsg_GetReply(msg);
  if (text == nullptr || *text == '\0') {
    text = natsMsg_GetSubject(msg);
  }
  const char* const data = natsMsg_GetData(msg);
  if (text == nullptr || data == nullptr) {
    return {};
  }
  const char* const start = text + std::char_traits<char>::length(text) + 1;
  return data > start + 1 ? std::string_view(start, static_cast<std::size_t>(data - start - 1))
                          : std::string_view();
}

/// The header block; empty when there is none or when only cnats can read it.
std::string_view block_of(const natsMsg* msg) {
  if (msg == nullptr || !block_between.load(std::memory_order_relaxed)) {
    return {};
  }
  const std::string_view block = between(msg);
  // cnats writes zeros into a block that it has read itself.
  return block.starts_with("NATS/1.0") && block.ends_with("\r\n") &&
                 block.find('\0') == std::string_view::npos
             ? block
             : std::string_view();
}

std::optional<std::string_view> header_by_cnats(natsMsg* msg, const char* name) {
  const char* value = nullptr;
  if (natsMsgHeader_Get(msg, name, &value) != NATS_OK || value == nullptr) {
    return std::nullopt;
  }
  return std::string_view(value);
}

/// Messages of one thread that wait to be destroyed together.
class Disposal {
 public:
  Disposal() = default;
  Disposal(const Disposal&) = delete;
  Disposal& operator=(const Disposal&) = delete;
  ~Disposal() { destroy_all(); }

  void add(natsMsg* message) {
    bytes_ += static_cast<std::size_t>(std::max(0, natsMsg_GetDataLength(message)));
    held_[count_++] = message;
    if (count_ == held_.size() || bytes_ > kHeldBytes) {
      destroy_all();
    }
  }

 private:
  void destroy_all() {
    for (std::size_t i = 0; i < count_; ++i) {
      natsMsg_Destroy(held_[i]);
    }
    count_ = 0;
    bytes_ = 0;
  }

  std::array<natsMsg*, kHeldMessages> held_{};
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

void learn_message_layout(natsConnection* connection) {
  if (block_between.load(std::memory_order_relaxed)) {
    return;
  }
  constexpr std::string_view kExpected = "NATS/1.0\r\nLayout: known\r\n\r\n";
  natsInbox* inbox = nullptr;
  natsSubscription* subscription = nullptr;
  natsMsg* sent = nullptr;
  natsMsg* received = nullptr;
  if (natsInbox_Create(&inbox) == NATS_OK &&
      natsConnection_SubscribeSync(&subscription, connection, inbox) == NATS_OK &&
      natsMsg_Create(&sent, inbox, "reply", "data", 4) == NATS_OK &&
      natsMsgHeader_Set(sent, "Layout", "known") == NATS_OK &&
      natsConnection_PublishMsg(connection, sent) == NATS_OK &&
      natsSubscription_NextMsg(&received, subscription, 2000) == NATS_OK) {
    // The distance first: only when it is right, the bytes between may be looked at.
    const char* const reply = natsMsg_GetReply(received);
    const auto distance = reinterpret_cast<std::uintptr_t>(natsMsg_GetData(received)) -
                          reinterpret_cast<std::uintptr_t>(reply);
    block_between =
        distance == sizeof("reply") + kExpected.size() + 1 && between(received) == kExpected;
  }
  natsMsg_Destroy(received);
  natsMsg_Destroy(sent);
  if (subscription != nullptr) {
    natsSubscription_Unsubscribe(subscription);
    natsConnection_FlushTimeout(connection, 2000);  // its reading thread has left the subscription
    natsSubscription_Destroy(subscription);
  }
  natsInbox_Destroy(inbox);
}

void dispose(natsMsg* message) {
  thread_local Disposal disposal;
  if (message != nullptr) {
    disposal.add(message);
  }
}

Message& Message::operator=(Message&& other) noexcept {
  if (this != &other) {
    dispose(as_msg(native_));
    native_ = std::exchange(other.native_, nullptr);
  }
  return *this;
}

Message::~Message() {
  dispose(as_msg(native_));
}

std::string_view Message::subject() const {
  return view(natsMsg_GetSubject(as_msg(native_)));
}

std::string_view Message::reply() const {
  return view(natsMsg_GetReply(as_msg(native_)));
}

std::string_view Message::payload() const {
  const auto* message = as_msg(native_);
  const int size = natsMsg_GetDataLength(message);
  if (size <= 0) {
    return {};
  }
  return {natsMsg_GetData(message), static_cast<std::size_t>(size)};
}

std::optional<std::string_view> Message::header(const char* name) const {
  natsMsg* const message = as_msg(native_);
  const std::string_view block = block_of(message);
  return block.empty() ? header_by_cnats(message, name) : find_header(block, name);
}

std::string_view Message::status() const {
  natsMsg* const message = as_msg(native_);
  if (natsMsg_GetDataLength(message) != 0) {
    return {};  // control messages are empty
  }
  const std::string_view block = block_of(message);
  return block.empty() ? header_by_cnats(message, "Status").value_or(std::string_view())
                       : read_status_line(block).status;
}

std::string_view Message::status_description() const {
  natsMsg* const message = as_msg(native_);
  const std::string_view block = block_of(message);
  return block.empty() ? header_by_cnats(message, "Description").value_or(std::string_view())
                       : read_status_line(block).description;
}

}  // namespace feedvault::nats
