#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <nats/nats.h>

namespace feedvault::bench {

struct NatscDestroy {
  void operator()(natsConnection* it) const { natsConnection_Destroy(it); }
  void operator()(natsSubscription* it) const { natsSubscription_Destroy(it); }
  void operator()(natsOptions* it) const { natsOptions_Destroy(it); }
  void operator()(natsMsg* it) const { natsMsg_Destroy(it); }
  void operator()(jsCtx* it) const { jsCtx_Destroy(it); }
  void operator()(jsStreamInfo* it) const { jsStreamInfo_Destroy(it); }
  void operator()(jsPubAck* it) const { jsPubAck_Destroy(it); }
};
template <typename T>
using Natsc = std::unique_ptr<T, NatscDestroy>;

/// Throws std::runtime_error, naming `what`, unless `status` is NATS_OK.
void must(natsStatus status, const std::string& what);

/// One connection of nats.c and one stream, "BENCH", on files, with all defaults, that captures
/// kSubject. All methods throw std::runtime_error when the server refuses or does not answer.
class NatscClient {
 public:
  static constexpr const char* kSubject = "bench.subject";
  static constexpr std::int64_t kPatienceMs = 60'000;  // for every answer

  /// At most `window` asynchronous publishes are without acknowledgement at a time.
  NatscClient(std::uint16_t port, std::int64_t window);

  /// js_PublishAsync; waits while the window is full.
  void publish_async(std::string_view payload);
  /// Until all of them are acknowledged; throws when one was refused.
  void wait_for_acknowledgements();

  /// js_Publish: until it is acknowledged.
  void publish_and_wait(std::string_view payload);

  /// natsConnection_Publish: no acknowledgement.
  void publish_plain(std::string_view payload);
  /// The same, with a Nats-Msg-Id.
  void publish_with_id(std::string_view payload, const std::string& id);
  void flush();

  std::uint64_t stored();

  /// A durable pull consumer, all of whose acknowledgements cover what came before.
  Natsc<natsSubscription> pull_subscribe(std::int64_t max_ack_pending);
  Natsc<natsSubscription> ordered_subscribe();

 private:
  Natsc<natsConnection> connection_;
  Natsc<jsCtx> js_;
  std::uint64_t refused_ = 0;  // counted on a thread of nats.c; read when that is done
};

}  // namespace feedvault::bench
