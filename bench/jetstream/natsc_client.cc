#include "bench/jetstream/natsc_client.h"

#include <stdexcept>

#include <fmt/format.h>

namespace feedvault::bench {
namespace {

constexpr const char* kStream = "BENCH";
// Above nats.c's default: what waits in a subscription is bounded by the server here.
constexpr int kMaxPendingMessages = 10'000'000;

void must_js(natsStatus status, jsErrCode code, const std::string& what) {
  if (status != NATS_OK) {
    throw std::runtime_error(
        fmt::format("{}: {} (error {})", what, natsStatus_GetText(status), static_cast<int>(code)));
  }
}

Natsc<natsConnection> connect(std::uint16_t port) {
  natsOptions* made = nullptr;
  must(natsOptions_Create(&made), "options");
  const Natsc<natsOptions> options(made);
  must(natsOptions_SetURL(made, fmt::format("nats://127.0.0.1:{}", port).c_str()), "address");
  must(natsOptions_SetAllowReconnect(made, false), "options");
  must(natsOptions_SetMaxPendingMsgs(made, kMaxPendingMessages), "options");
  natsConnection* connection = nullptr;
  must(natsConnection_Connect(&connection, made), "connecting");
  return Natsc<natsConnection>(connection);
}

}  // namespace

void must(natsStatus status, const std::string& what) {
  if (status != NATS_OK) {
    throw std::runtime_error(fmt::format("{}: {}", what, natsStatus_GetText(status)));
  }
}

NatscClient::NatscClient(std::uint16_t port, std::int64_t window) : connection_(connect(port)) {
  jsOptions options;
  must(jsOptions_Init(&options), "options");
  options.Wait = kPatienceMs;
  options.PublishAsync.MaxPending = window;
  options.PublishAsync.StallWait = kPatienceMs;
  options.PublishAsync.ErrHandler = [](jsCtx*, jsPubAckErr*, void* closure) {
    ++*static_cast<std::uint64_t*>(closure);
  };
  options.PublishAsync.ErrHandlerClosure = &refused_;
  jsCtx* made = nullptr;
  must(natsConnection_JetStream(&made, connection_.get(), &options), "JetStream");
  js_.reset(made);

  const char* subject = kSubject;
  jsStreamConfig config;
  must(jsStreamConfig_Init(&config), "options");
  config.Name = kStream;
  config.Subjects = &subject;
  config.SubjectsLen = 1;
  jsStreamInfo* info = nullptr;
  auto code = static_cast<jsErrCode>(0);
  const natsStatus status = js_AddStream(&info, js_.get(), &config, nullptr, &code);
  const Natsc<jsStreamInfo> owned(info);
  must_js(status, code, "making the stream");
}

void NatscClient::publish_async(std::string_view payload) {
  must(js_PublishAsync(
           js_.get(), kSubject, payload.data(), static_cast<int>(payload.size()), nullptr),
       "publishing asynchronously");
}

void NatscClient::wait_for_acknowledgements() {
  jsPubOptions options;
  must(jsPubOptions_Init(&options), "options");
  options.MaxWait = kPatienceMs;
  must(js_PublishAsyncComplete(js_.get(), &options), "waiting for acknowledgements");
  if (refused_ != 0) {
    throw std::runtime_error(fmt::format("{} publishes were refused", refused_));
  }
}

void NatscClient::publish_and_wait(std::string_view payload) {
  jsPubAck* ack = nullptr;
  auto code = static_cast<jsErrCode>(0);
  const natsStatus status = js_Publish(
      &ack, js_.get(), kSubject, payload.data(), static_cast<int>(payload.size()), nullptr, &code);
  const Natsc<jsPubAck> owned(ack);
  must_js(status, code, "publishing");
}

void NatscClient::publish_plain(std::string_view payload) {
  must(natsConnection_Publish(
           connection_.get(), kSubject, payload.data(), static_cast<int>(payload.size())),
       "publishing");
}

void NatscClient::publish_with_id(std::string_view payload, const std::string& id) {
  natsMsg* made = nullptr;
  must(natsMsg_Create(&made, kSubject, nullptr, payload.data(), static_cast<int>(payload.size())),
       "a message");
  const Natsc<natsMsg> message(made);
  must(natsMsgHeader_Set(made, "Nats-Msg-Id", id.c_str()), "a header");
  must(natsConnection_PublishMsg(connection_.get(), made), "publishing");
}

void NatscClient::flush() {
  must(natsConnection_FlushTimeout(connection_.get(), kPatienceMs), "flushing");
}

std::uint64_t NatscClient::stored() {
  jsStreamInfo* info = nullptr;
  auto code = static_cast<jsErrCode>(0);
  const natsStatus status = js_GetStreamInfo(&info, js_.get(), kStream, nullptr, &code);
  const Natsc<jsStreamInfo> owned(info);
  must_js(status, code, "asking for the stream");
  return info->State.Msgs;
}

Natsc<natsSubscription> NatscClient::pull_subscribe(std::int64_t max_ack_pending) {
  jsSubOptions options;
  must(jsSubOptions_Init(&options), "options");
  options.Stream = kStream;
  options.Config.AckPolicy = js_AckAll;
  options.Config.MaxAckPending = max_ack_pending;
  natsSubscription* made = nullptr;
  auto code = static_cast<jsErrCode>(0);
  must_js(js_PullSubscribe(&made, js_.get(), kSubject, "puller", nullptr, &options, &code),
          code,
          "subscribing to pull");
  return Natsc<natsSubscription>(made);
}

Natsc<natsSubscription> NatscClient::ordered_subscribe() {
  jsSubOptions options;
  must(jsSubOptions_Init(&options), "options");
  options.Stream = kStream;
  options.Ordered = true;
  natsSubscription* made = nullptr;
  auto code = static_cast<jsErrCode>(0);
  must_js(js_SubscribeSync(&made, js_.get(), kSubject, nullptr, &options, &code),
          code,
          "subscribing in order");
  return Natsc<natsSubscription>(made);
}

}  // namespace feedvault::bench
