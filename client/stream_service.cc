#include "client/stream_service.h"

#include <map>

#include "base/mutex.h"
#include "client/feed_subscription.h"

namespace feedvault {
namespace {

bool is_feed_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
             std::string_view::npos;
}

class StreamServiceImpl final : public StreamService {
 public:
  StreamServiceImpl(std::unique_ptr<nats::Connection> connection, Options options)
      : connection_(std::move(connection)), hooks_(std::move(options)) {}

  Status subscribe(const SubscribeOptions& options, Callback callback) override {
    if (!is_feed_name(options.feed)) {
      return invalid_argument("'" + options.feed +
                              "' cannot be a feed's name: letters, digits, _ and - only");
    }
    if (options.max_in_flight == 0 || options.save_every == 0) {
      return invalid_argument("max_in_flight and save_every must be at least 1");
    }
    if (options.start.kind() == Start::Kind::kStored && options.positions == nullptr) {
      return invalid_argument("a start at the stored position needs a position store");
    }
    MutexLock lock(mutex_);
    auto& slot = subscriptions_[options.feed];
    if (slot != nullptr && slot->running()) {
      return {StatusCode::kDuplicate, "feed " + options.feed + " is subscribed to already"};
    }
    auto subscription =
        std::make_shared<FeedSubscription>(*connection_, options, std::move(callback), hooks_);
    RETURN_IF_ERROR(subscription->start());
    slot = std::move(subscription);
    return {};
  }

  Position position(const std::string& feed) const override {
    MutexLock lock(mutex_);
    const auto found = subscriptions_.find(feed);
    return {.feed = feed,
            .seq = found == subscriptions_.end() || found->second == nullptr
                       ? 0
                       : found->second->position()};
  }

  bool running(const std::string& feed) const override {
    MutexLock lock(mutex_);
    const auto found = subscriptions_.find(feed);
    return found != subscriptions_.end() && found->second != nullptr && found->second->running();
  }

  Status drain(std::chrono::milliseconds timeout) override {
    const SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
    std::map<std::string, std::shared_ptr<FeedSubscription>> subscriptions;
    {
      MutexLock lock(mutex_);
      subscriptions = subscriptions_;
    }
    for (const auto& [feed, subscription] : subscriptions) {
      if (subscription != nullptr) {
        subscription->begin_drain();
      }
    }
    for (const auto& [feed, subscription] : subscriptions) {
      if (subscription != nullptr && !subscription->wait_finished(deadline)) {
        return timeout_error("feed " + feed + ": its callback has not taken everything in time");
      }
    }
    return {};
  }

 private:
  std::unique_ptr<nats::Connection> connection_;
  const Options hooks_;
  mutable Mutex mutex_;
  // After the connection, so that they go before it.
  std::map<std::string, std::shared_ptr<FeedSubscription>> subscriptions_ GUARDED_BY(mutex_);
};

}  // namespace

std::string_view phase_name(Phase phase) {
  switch (phase) {
    case Phase::kStarting:
      return "starting";
    case Phase::kHistory:
      return "history";
    case Phase::kLive:
      return "live";
    case Phase::kWaiting:
      return "waiting";
  }
  return "";
}

Result<std::unique_ptr<StreamService>> StreamService::connect(const NatsConfig& config,
                                                              Options options) {
  nats::ConnectionOptions connection_options;
  connection_options.name = options.name;
  connection_options.require_at_open = false;
  connection_options.on_state = options.on_state;
  // All that we publish are requests for more messages, and those should not wait a millisecond.
  connection_options.send_asap = true;
  ASSIGN_OR_RETURN(auto connection, nats::Connection::open(config, std::move(connection_options)));
  return std::unique_ptr<StreamService>(
      std::make_unique<StreamServiceImpl>(std::move(connection), std::move(options)));
}

}  // namespace feedvault
