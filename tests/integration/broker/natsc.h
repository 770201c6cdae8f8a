#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nats/nats.h>

namespace feedvault::broker::testing {

// nats.c, as Debian ships it, for scenarios: each handle is destroyed with its owner. Failures that
// a scenario does not ask about are failures of the test.

struct NatscDelete {
  void operator()(natsConnection* it) const { natsConnection_Destroy(it); }
  void operator()(natsSubscription* it) const { natsSubscription_Destroy(it); }
  void operator()(natsOptions* it) const { natsOptions_Destroy(it); }
  void operator()(natsMsg* it) const { natsMsg_Destroy(it); }
};
using NatscConnection = std::unique_ptr<natsConnection, NatscDelete>;
using NatscSubscription = std::unique_ptr<natsSubscription, NatscDelete>;
using NatscOptions = std::unique_ptr<natsOptions, NatscDelete>;
using NatscMessage = std::unique_ptr<natsMsg, NatscDelete>;

inline NatscOptions natsc_options(const std::string& url) {
  natsOptions* made = nullptr;
  EXPECT_EQ(natsOptions_Create(&made), NATS_OK);
  EXPECT_EQ(natsOptions_SetURL(made, url.c_str()), NATS_OK);
  EXPECT_EQ(natsOptions_SetReconnectWait(made, 20), NATS_OK);
  EXPECT_EQ(natsOptions_SetReconnectJitter(made, 1, 1), NATS_OK);
  return NatscOptions(made);
}

/// Null, and why in `status`, when the server does not let us in.
inline NatscConnection try_natsc(natsOptions* options, natsStatus& status) {
  natsConnection* made = nullptr;
  status = natsConnection_Connect(&made, options);
  return NatscConnection(made);
}
inline NatscConnection natsc_connect(natsOptions* options) {
  natsStatus status = NATS_OK;
  NatscConnection made = try_natsc(options, status);
  EXPECT_EQ(status, NATS_OK) << natsStatus_GetText(status);
  return made;
}
inline NatscConnection natsc_connect(const std::string& url) {
  return natsc_connect(natsc_options(url).get());
}

inline NatscSubscription natsc_subscribe(const NatscConnection& connection,
                                         const std::string& subject,
                                         const std::string& queue = "") {
  natsSubscription* made = nullptr;
  EXPECT_EQ(queue.empty() ? natsConnection_SubscribeSync(&made, connection.get(), subject.c_str())
                          : natsConnection_QueueSubscribeSync(
                                &made, connection.get(), subject.c_str(), queue.c_str()),
            NATS_OK);
  EXPECT_EQ(natsConnection_Flush(connection.get()), NATS_OK);
  return NatscSubscription(made);
}

inline void natsc_publish(const NatscConnection& connection,
                          const std::string& subject,
                          const std::string& payload) {
  EXPECT_EQ(
      natsConnection_Publish(
          connection.get(), subject.c_str(), payload.data(), static_cast<int>(payload.size())),
      NATS_OK);
}

/// Null when none comes in time.
inline NatscMessage natsc_next(const NatscSubscription& subscription, std::int64_t ms = 5000) {
  natsMsg* got = nullptr;
  natsSubscription_NextMsg(&got, subscription.get(), ms);
  return NatscMessage(got);
}
inline std::string payload_of(const NatscMessage& message) {
  return message == nullptr
             ? "(none)"
             : std::string(natsMsg_GetData(message.get()),
                           static_cast<std::size_t>(natsMsg_GetDataLength(message.get())));
}

/// Answers each request to `subject` with what `answer` makes of it, until it goes.
class NatscService {
 public:
  using Answer = std::function<std::string(const std::string&)>;
  NatscService(const NatscConnection& connection,
               const std::string& subject,
               Answer answer,
               const std::string& queue = "")
      : answer_(std::move(answer)) {
    natsSubscription* made = nullptr;
    EXPECT_EQ(
        queue.empty()
            ? natsConnection_Subscribe(&made, connection.get(), subject.c_str(), on_message, this)
            : natsConnection_QueueSubscribe(
                  &made, connection.get(), subject.c_str(), queue.c_str(), on_message, this),
        NATS_OK);
    EXPECT_EQ(natsConnection_Flush(connection.get()), NATS_OK);
    subscription_.reset(made);
  }
  ~NatscService() {
    // Waits for a callback that is under way.
    natsSubscription_Drain(subscription_.get());
    natsSubscription_WaitForDrainCompletion(subscription_.get(), 5000);
  }
  NatscService(const NatscService&) = delete;
  NatscService& operator=(const NatscService&) = delete;

 private:
  static void on_message(natsConnection* connection,
                         natsSubscription* /*subscription*/,
                         natsMsg* message,
                         void* self) {
    const NatscMessage owned(message);
    const std::string answer = static_cast<NatscService*>(self)->answer_(payload_of(owned));
    natsConnection_Publish(
        connection, natsMsg_GetReply(message), answer.data(), static_cast<int>(answer.size()));
  }

  Answer answer_;
  NatscSubscription subscription_;
};

}  // namespace feedvault::broker::testing
