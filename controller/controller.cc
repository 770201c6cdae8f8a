#include "controller/controller.h"

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "base/backoff.h"
#include "base/http_server.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/stop_token.h"
#include "base/version.h"
#include "client/nats/connection.h"
#include "controller/feed_health.h"
#include "controller/feed_metrics.h"
#include "controller/feed_pipeline.h"
#include "controller/limits.h"
#include "proto/message_schema.h"
#include "storage/catalogue_reader.h"

namespace feedvault::controller {
namespace {

class ControllerImpl final : public Controller {
 public:
  explicit ControllerImpl(const Config& config) : config_(config) {}
  ~ControllerImpl() override { ControllerImpl::stop(); }
  ControllerImpl(const ControllerImpl&) = delete;
  ControllerImpl& operator=(const ControllerImpl&) = delete;

  Status load_feeds() {
    for (const FeedConfig& feed : config_.feeds) {
      auto loaded = MessageSchema::load(feed.proto, feed.message);
      if (!loaded.has_value()) {
        return loaded.error().with_context(config_.path + ": [[feed]] proto and message ('" +
                                           feed.name + "')");
      }
      auto schema = std::move(loaded).value();
      feed_metrics_.push_back(std::make_unique<FeedMetrics>(metrics_, feed.name));
      pipelines_.push_back(
          std::make_unique<FeedPipeline>(config_, feed, std::move(schema), *feed_metrics_.back()));
    }
    return {};
  }

  Status start() override {
    auto http = HttpServer::start(config_.controller.bind,
                                  config_.controller.port,
                                  [this](std::string_view path) { return answer(path); });
    if (!http.has_value()) {
      return {http.error().code(),
              config_.path + ": [controller] bind and port: " + http.error().message() +
                  "; choose a free port there or in FEEDVAULT_CONTROLLER_PORT"};
    }
    http_ = std::move(http).value();
    logger("controller")
        ->info("started version={} config={} feeds={} http_port={}",
               kVersion,
               config_.path,
               config_.feeds.size(),
               http_->port());
    starter_ = std::thread([this] { bring_up(); });
    return {};
  }

  Status fatal_error() const override {
    MutexLock lock(mutex_);
    return fatal_;
  }

  void stop() override {
    stop_.request_stop();
    if (starter_.joinable()) {
      starter_.join();
    }
    for (const auto& pipeline : pipelines_) {
      pipeline->request_stop();
    }
    for (const auto& pipeline : pipelines_) {
      pipeline->join();
    }
    http_.reset();
  }

  std::uint16_t http_port() const override { return http_->port(); }

 private:
  // Everything before the feeds run: the schema, and a look whether the broker lets us in.
  void bring_up() {
    if (!retry("database", [this] { return storage::migrate(config_.mysql); }) ||
        !retry("database", [this] { return check_database(); }) || !check_broker()) {
      return;
    }
    set_starting_reason("");
    for (const auto& pipeline : pipelines_) {
      pipeline->start();
    }
  }

  // Until it works; false when it cannot, or when we are asked to stop.
  template <typename Attempt>
  bool retry(const std::string& what, Attempt attempt) {
    Backoff backoff(kRetryFirst, kRetryMost, std::random_device{}());
    bool said = false;
    for (;;) {
      const Status tried = attempt();
      if (tried.ok()) {
        if (said) {
          logger("controller")->info("{} is there", what);
        }
        return true;
      }
      if (tried.code() == StatusCode::kInvalidArgument) {
        set_fatal(tried);
        return false;
      }
      set_starting_reason(what + ": " + tried.message());
      if (!said) {
        said = true;
        logger("controller")->warn("waiting for the {} reason=\"{}\"", what, tried.message());
      }
      if (stop_.wait_for(backoff.next())) {
        return false;
      }
    }
  }

  Status check_database() {
    return storage::Catalogue::open(config_.mysql, config_.feeds.front()).status();
  }

  // A broker that is away is waited for by the feeds; one that refuses us is said at once.
  bool check_broker() {
    const auto connection =
        nats::Connection::open(config_.nats, {.name = "feedvault-controller", .on_state = nullptr});
    if (!connection.has_value() && connection.error().code() == StatusCode::kInvalidArgument) {
      set_fatal(connection.error());
      return false;
    }
    return true;
  }

  void set_fatal(const Status& status) {
    MutexLock lock(mutex_);
    fatal_ = status.with_context(config_.path);
    starting_reason_ = fatal_.message();
  }

  void set_starting_reason(std::string reason) {
    MutexLock lock(mutex_);
    starting_reason_ = std::move(reason);
  }

  HttpResponse answer(std::string_view path) const {
    if (path == "/livez") {
      return {.status = 200, .body = "ok\n"};
    }
    if (path == "/readyz") {
      return readyz();
    }
    if (path == "/metrics") {
      return {.status = 200,
              .content_type = "text/plain; version=0.0.4; charset=utf-8",
              .body = metrics_.to_prometheus_text()};
    }
    return {.status = 404, .body = "not found; there are /livez, /readyz and /metrics\n"};
  }

  HttpResponse readyz() const {
    std::string reason;
    {
      MutexLock lock(mutex_);
      reason = starting_reason_;
    }
    std::vector<FeedView> views;
    bool ready = reason.empty();
    for (const auto& pipeline : pipelines_) {
      views.push_back(pipeline->view());
      ready = ready && views.back().ready();
    }
    return {.status = ready ? 200 : 503,
            .content_type = "application/json",
            .body = readyz_json(views, reason)};
  }

  const Config config_;
  Metrics metrics_;
  std::vector<std::unique_ptr<FeedMetrics>> feed_metrics_;
  std::vector<std::unique_ptr<FeedPipeline>> pipelines_;
  mutable Mutex mutex_;
  Status fatal_ GUARDED_BY(mutex_);
  std::string starting_reason_ GUARDED_BY(mutex_) = "starting";
  StopSource stop_;
  std::thread starter_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace

Result<std::unique_ptr<Controller>> Controller::create(const Config& config) {
  auto controller = std::make_unique<ControllerImpl>(config);
  RETURN_IF_ERROR(controller->load_feeds());
  return std::unique_ptr<Controller>(std::move(controller));
}

}  // namespace feedvault::controller
