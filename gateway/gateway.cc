#include "gateway/gateway.h"

#include <map>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "base/version.h"
#include "client/nats/connection.h"
#include "client/stream_service.h"
#include "gateway/feed.h"
#include "gateway/history_service.h"
#include "gateway/http/access.h"
#include "gateway/http/server.h"
#include "gateway/limits.h"
#include "gateway/live_feed.h"
#include "gateway/site.h"
#include "gateway/watch.h"
#include "gateway/worker_pool.h"

namespace feedvault::gateway {
namespace {

class GatewayImpl final : public Gateway {
 public:
  GatewayImpl(const Config& config,
              FeedList feeds,
              Access access,
              std::unique_ptr<nats::Connection> broker,
              std::unique_ptr<StreamService> service)
      : config_(config),
        feeds_(std::move(feeds)),
        access_(std::move(access)),
        broker_(std::move(broker)),
        service_(std::move(service)),
        live_(make_live_feeds()),
        pool_(config_, metrics_),
        watch_(config_.mysql, feeds_, live_, *broker_, metrics_),
        site_({.feeds = feeds_,
               .live = live_,
               .access = access_,
               .pool = pool_,
               .watch = watch_,
               .metrics = metrics_}) {}
  GatewayImpl(const GatewayImpl&) = delete;
  GatewayImpl& operator=(const GatewayImpl&) = delete;
  ~GatewayImpl() override {
    // First what pushes, then what answers; readers hold on to their feeds.
    for (const auto& [name, feed] : live_) {
      feed->stop();
    }
    service_.reset();
    history_.reset();
    pool_.stop();
    server_.reset();
  }

  Status listen() {
    ASSIGN_OR_RETURN(server_,
                     Server::listen(
                         ServerOptions::from(config_.http),
                         [this](const Request& request, Respond respond) {
                           site_.handle(request, std::move(respond));
                         },
                         metrics_));
    HistoryService::Options history;
    history.nats = config_.nats;
    history.mysql = config_.mysql;
    history.feeds = config_.feeds;
    ASSIGN_OR_RETURN(history_, HistoryService::start(history, metrics_));
    return {};
  }

  void start() override {
    for (const auto& [name, feed] : live_) {
      feed->start(server_->loop());
    }
    server_->start();
    const Logger log = logger("gateway");
    log->info("started version={} config={} feeds={} bind={} port={} tls={} tokens={}",
              kVersion,
              config_.path,
              feeds_.names(),
              config_.http.bind,
              server_->port(),
              !config_.http.tls_cert_file.empty(),
              access_.asks_for_tokens());
    if (access_.wide_open()) {
      log->warn(
          "everybody who reaches this port may read all feeds and requeue: auth is \"off\" "
          "and bind is not loopback bind={}",
          config_.http.bind);
    }
  }

  void stop() override { server_->drain(kDrainMax); }

  std::uint16_t port() const override { return server_->port(); }

 private:
  using LiveFeeds = std::map<std::string, std::unique_ptr<LiveFeed>>;

  LiveFeeds make_live_feeds() {
    LiveFeeds live;
    for (const auto& feed : feeds_.all()) {
      live[feed->name()] = std::make_unique<LiveFeed>(*feed, *broker_, *service_, metrics_);
    }
    return live;
  }

  const Config config_;
  Metrics metrics_;
  const FeedList feeds_;
  const Access access_;
  const std::unique_ptr<nats::Connection> broker_;
  std::unique_ptr<StreamService> service_;
  const LiveFeeds live_;
  WorkerPool pool_;
  Watch watch_;
  const Site site_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<HistoryService> history_;  // to NATS clients
};

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::create(const Config& config) {
  ASSIGN_OR_RETURN(Access access, Access::create(config.http));
  ASSIGN_OR_RETURN(FeedList feeds, FeedList::load(config));
  nats::ConnectionOptions options;
  options.name = "feedvault-gateway";
  options.require_at_open = false;
  ASSIGN_OR_RETURN(auto broker, nats::Connection::open(config.nats, options));
  StreamService::Options live;
  live.name = "feedvault-gateway-live";
  ASSIGN_OR_RETURN(auto service, StreamService::connect(config.nats, std::move(live)));
  auto gateway = std::make_unique<GatewayImpl>(
      config, std::move(feeds), std::move(access), std::move(broker), std::move(service));
  RETURN_IF_ERROR(gateway->listen());
  return std::unique_ptr<Gateway>(std::move(gateway));
}

}  // namespace feedvault::gateway
