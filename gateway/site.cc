#include "gateway/site.h"

#include <utility>

#include <fmt/format.h>

#include "base/clock.h"
#include "gateway/assets.h"
#include "gateway/feed_list_json.h"
#include "gateway/history_query.h"
#include "gateway/history_stream.h"
#include "gateway/http/problem.h"
#include "gateway/http/target.h"
#include "gateway/limits.h"
#include "gateway/live_request.h"
#include "gateway/message_writer.h"
#include "gateway/quarantine_json.h"

namespace feedvault::gateway {
namespace {

constexpr std::uint64_t kQuarantineDefault = 100;
constexpr std::uint64_t kQuarantineMax = 10'000;
constexpr std::uint64_t kSinceMax = 1ULL << 60U;

Response text_response(int status, std::string text) {
  Response response;
  response.status = status;
  response.set("Content-Type", "text/plain; charset=utf-8");
  response.body = std::move(text);
  return response;
}

/// What pages may do: run our own files and ask this gateway, and nothing else, whatever a feed's
/// messages hold. Text becomes neither script nor markup: the browser itself refuses that.
constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

Response asset_response(const Request& request, const Asset& asset) {
  Response response;
  response.set("Cache-Control", "no-cache");  // kept, and asked for again whether it has changed
  response.set("ETag", std::string(asset.etag));
  const std::string_view type = content_type_of(asset.name);
  response.set("Content-Type", std::string(type));
  if (type.substr(0, 9) == "text/html") {
    response.set("Content-Security-Policy", kPagePolicy);
    response.set("Referrer-Policy", "no-referrer");
  }
  if (request.header("if-none-match") == asset.etag) {
    response.status = 304;  // its headers replace those that the browser kept with the page
  } else {
    response.body = asset.text;
  }
  return response;
}

}  // namespace

Site::Site(const Parts& parts)
    : parts_(parts),
      rows_total_(parts.metrics.counter("feedvault_gateway_history_messages_total",
                                        "Messages served from the table")) {
  add_feed_routes();
  add_quarantine_routes();
  add_service_routes();
  add_page_routes();
}

void Site::handle(const Request& request, Respond respond) const {
  if (auto refused = parts_.access.refuse_host(request)) {
    respond(std::move(*refused));
    return;
  }
  if (request.header("origin").empty()) {
    router_.route(request, std::move(respond));
    return;
  }
  // Every answer, errors too, tells a listed page that it may read it.
  router_.route(request, [this, request, respond = std::move(respond)](Response response) {
    parts_.access.add_cors(request, response);
    respond(std::move(response));
  });
}

void Site::add_service_routes() {
  router_.add("GET", "/livez", [](const Request&, const PathParameters&, const Respond& respond) {
    respond(text_response(200, "ok\n"));
  });
  router_.add(
      "GET", "/readyz", [this](const Request&, const PathParameters&, const Respond& respond) {
        const std::string reason = parts_.watch.not_ready_reason();
        std::string json = "{\"ready\":";
        json += reason.empty() ? "true" : "false";
        json += ",\"reason\":";
        append_json_string(json, reason);
        Response response = json_response(json + "}\n");
        response.status = reason.empty() ? 200 : 503;
        respond(std::move(response));
      });
  router_.add("GET",
              "/metrics",
              [this](const Request& request, const PathParameters&, const Respond& respond) {
                if (auto refused = parts_.access.refuse_reading(request, "")) {
                  respond(std::move(*refused));
                  return;
                }
                Response response;
                response.set("Content-Type", kPrometheusContentType);
                response.body = parts_.metrics.to_prometheus_text();
                respond(std::move(response));
              });
}

void Site::add_page_routes() {
  const auto add_file = [this](const char* path, const char* name) {
    router_.add(
        "GET", path, [name](const Request& request, const PathParameters&, const Respond& respond) {
          respond(asset_response(request, *find_asset(name)));
        });
  };
  add_file("/openapi.json", "openapi.json");
  add_file("/", "index.html");
  router_.add("GET",
              "/assets/{file}",
              [](const Request& request, const PathParameters& path, const Respond& respond) {
                const Asset* asset = find_asset(path[0]);
                respond(asset == nullptr
                            ? problem(404, "the dashboard has no such file; it begins at /")
                            : asset_response(request, *asset));
              });
}

void Site::add_feed_routes() {
  router_.add("GET",
              "/activity",
              [this](const Request& request, const PathParameters&, const Respond& respond) {
                list_activity(request, respond);
              });
  router_.add("GET",
              "/feeds",
              [this](const Request& request, const PathParameters&, const Respond& respond) {
                list_feeds(request, respond);
              });
  router_.add("GET",
              "/feeds/{feed}/live",
              [this](const Request& request, const PathParameters& path, const Respond& respond) {
                if (const Feed* feed = readable_feed(request, path[0], respond)) {
                  answer_live(*parts_.live.at(feed->name()), parts_.pool, request, respond);
                }
              });
  router_.add("GET",
              "/feeds/{feed}/messages",
              [this](const Request& request, const PathParameters& path, Respond respond) {
                if (const Feed* feed = readable_feed(request, path[0], respond)) {
                  read_messages(request, *feed, std::move(respond));
                }
              });
  router_.add("GET",
              "/feeds/{feed}/messages/{seq}",
              [this](const Request& request, const PathParameters& path, const Respond& respond) {
                if (const Feed* feed = readable_feed(request, path[0], respond)) {
                  read_message(request, *feed, path[1], respond);
                }
              });
}

void Site::add_quarantine_routes() {
  router_.add("GET",
              "/quarantine",
              [this](const Request& request, const PathParameters&, const Respond& respond) {
                list_quarantine(request, respond);
              });
  router_.add("GET",
              "/quarantine/{id}",
              [this](const Request& request, const PathParameters& path, const Respond& respond) {
                read_quarantined(request, path[0], respond);
              });
  router_.add("POST",
              "/quarantine/{id}/requeue",
              [this](const Request& request, const PathParameters& path, const Respond& respond) {
                requeue(request, path[0], respond);
              });
}

const Feed* Site::readable_feed(const Request& request,
                                const std::string& name,
                                const Respond& respond) const {
  // First: who may read nothing does not learn which feeds there are.
  if (auto refused = parts_.access.refuse_reading(request, name)) {
    respond(std::move(*refused));
    return nullptr;
  }
  const Feed* feed = parts_.feeds.find(name);
  if (feed == nullptr) {
    respond(problem(404, "there is no feed '" + name + "'; there are " + parts_.feeds.names()));
  }
  return feed;
}

void Site::list_feeds(const Request& request, const Respond& respond) const {
  if (auto refused = parts_.access.refuse_reading(request, "")) {
    respond(std::move(*refused));
    return;
  }
  std::string json = "{\"feeds\":[";
  bool first = true;
  for (const auto& feed : parts_.feeds.all()) {
    if (parts_.access.refuse_reading(request, feed->name())) {
      continue;
    }
    json += first ? "\n" : ",\n";
    first = false;
    append_feed_json(*feed, parts_.watch.status(feed->name()), json);
  }
  respond(json_response(json + "\n]}\n"));
}

void Site::list_activity(const Request& request, const Respond& respond) const {
  if (auto refused = parts_.access.refuse_reading(request, "")) {
    respond(std::move(*refused));
    return;
  }
  const auto items = parse_query(request.query);
  if (!items.has_value()) {
    respond(problem(items.error()));
    return;
  }
  std::uint64_t since = 0;
  for (const auto& [name, value] : *items) {
    const auto number = parse_number(value);
    if (name != "since" || !number || *number > kSinceMax) {
      respond(problem(400,
                      fmt::format("'{}={}' cannot be; give since=UNIX_MILLISECONDS", name, value)));
      return;
    }
    since = *number;
  }
  std::string json = "{\"interval_ms\":" + std::to_string(kWatchInterval.count()) + ",\"feeds\":[";
  for (const auto& feed : parts_.feeds.all()) {
    if (parts_.access.refuse_reading(request, feed->name())) {
      continue;
    }
    json += json.back() == '[' ? "\n" : ",\n";
    append_activity_json(
        *feed, parts_.watch.activity(feed->name(), static_cast<std::int64_t>(since)), json);
  }
  respond(json_response(json + "\n]}\n"));
}

void Site::read_messages(const Request& request, const Feed& feed, Respond respond) const {
  const auto format = choose_format(request.header("accept"));
  if (!format) {
    respond(problem(406, "history comes as application/json, application/x-ndjson or text/csv"));
    return;
  }
  auto items = parse_query(request.query);
  if (!items.has_value()) {
    respond(problem(items.error()));
    return;
  }
  auto query = parse_history_query(feed, *items);
  if (!query.has_value()) {
    respond(problem(query.error()));
    return;
  }
  HistoryStream::answer(feed,
                        std::move(*query),
                        {.format = *format, .items = std::move(*items)},
                        parts_.pool,
                        rows_total_,
                        std::move(respond));
}

void Site::read_message(const Request& request,
                        const Feed& feed,
                        const std::string& seq_text,
                        const Respond& respond) const {
  const auto seq = parse_number(seq_text);
  if (!seq || *seq == 0) {
    respond(problem(400, "'" + seq_text + "' is no position; give a seq, as 4711"));
    return;
  }
  const bool raw = accepts_explicitly(request.header("accept"), "application/octet-stream");
  parts_.pool.submit([&feed, seq = *seq, raw, respond](const Database& database) {
    const auto rows =
        database.catalogue.read_range(feed.config.number, seq, 1, 1, /*with_body=*/true);
    if (!rows.has_value()) {
      respond(problem(rows.error()));
      return;
    }
    if (rows->empty() || rows->front().seq != seq) {
      respond(problem(404, "feed " + feed.name() + " has no message " + std::to_string(seq)));
      return;
    }
    const storage::Row& row = rows->front();
    Response response;
    response.set("Vary", "Accept");
    response.set("Feedvault-Position", feed.name() + ":" + std::to_string(seq));
    if (raw) {
      response.set("Content-Type", "application/octet-stream");
      response.set("Feedvault-Timestamp", format_rfc3339_us(row.timestamp_us));
      response.body = row.data;
    } else {
      response.set("Content-Type", "application/json");
      MessageWriter writer(feed);
      writer.append_json({.seq = row.seq,
                          .timestamp_us = row.timestamp_us,
                          .id = row.id,
                          .data = row.data,
                          .body = row.body},
                         response.body);
      response.body.push_back('\n');
    }
    respond(std::move(response));
  });
}

void Site::list_quarantine(const Request& request, const Respond& respond) const {
  const auto items = parse_query(request.query);
  if (!items.has_value()) {
    respond(problem(items.error()));
    return;
  }
  const Feed* feed = nullptr;
  std::uint64_t limit = kQuarantineDefault;
  for (const auto& [name, value] : *items) {
    if (name == "feed") {
      feed = readable_feed(request, value, respond);
      if (feed == nullptr) {
        return;
      }
    } else if (name == "limit") {
      limit = parse_number(value).value_or(0);
      if (limit == 0 || limit > kQuarantineMax) {
        respond(problem(400,
                        "limit='" + value + "' cannot be; give a number from 1 to " +
                            std::to_string(kQuarantineMax)));
        return;
      }
    } else {
      respond(problem(400, "'" + name + "' is unknown here; give feed or limit"));
      return;
    }
  }
  if (feed == nullptr) {
    // All of them: only for who may read all.
    if (auto refused = parts_.access.refuse_reading(request, "*")) {
      respond(std::move(*refused));
      return;
    }
  }
  const std::uint8_t number = feed == nullptr ? 0 : feed->config.number;
  parts_.pool.submit([this, number, limit, respond](const Database& database) {
    const auto messages = database.catalogue.quarantined(number, static_cast<std::size_t>(limit));
    if (!messages.has_value()) {
      respond(problem(messages.error()));
      return;
    }
    std::string json = "{\"quarantine\":[";
    for (const storage::QuarantinedMessage& message : *messages) {
      json += json.back() == '[' ? "\n" : ",\n";
      append_quarantined_json(parts_.feeds, message, /*with_data=*/false, json);
    }
    respond(json_response(json + "\n]}\n"));
  });
}

void Site::read_quarantined(const Request& request,
                            const std::string& id_text,
                            const Respond& respond) const {
  if (auto refused = parts_.access.refuse_reading(request, "*")) {
    respond(std::move(*refused));
    return;
  }
  const auto id = parse_number(id_text);
  if (!id) {
    respond(problem(400, "'" + id_text + "' is no id of a quarantined message; give a number"));
    return;
  }
  parts_.pool.submit([this, id = *id, respond](const Database& database) {
    const auto message = database.catalogue.find_quarantined(id);
    if (!message.has_value()) {
      respond(problem(message.error()));
      return;
    }
    std::string json;
    append_quarantined_json(parts_.feeds, *message, /*with_data=*/true, json);
    respond(json_response(json + "\n"));
  });
}

void Site::requeue(const Request& request,
                   const std::string& id_text,
                   const Respond& respond) const {
  if (auto refused = parts_.access.refuse_writing(request)) {
    respond(std::move(*refused));
    return;
  }
  const auto id = parse_number(id_text);
  if (!id) {
    respond(problem(400, "'" + id_text + "' is no id of a quarantined message; give a number"));
    return;
  }
  parts_.pool.submit([id = *id, respond](const Database& database) {
    if (const Status asked = database.catalogue.request_requeue(id); !asked.ok()) {
      respond(problem(asked));
      return;
    }
    Response response =
        json_response("{\"id\":" + std::to_string(id) + ",\"state\":\"requested\"}\n");
    response.status = 202;
    respond(std::move(response));
  });
}

}  // namespace feedvault::gateway
