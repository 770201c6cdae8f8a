#include "gateway/site.h"

#include <utility>

#include "base/clock.h"
#include "gateway/assets.h"
#include "gateway/feed_list_json.h"
#include "gateway/history_query.h"
#include "gateway/history_stream.h"
#include "gateway/http/problem.h"
#include "gateway/http/target.h"
#include "gateway/live_request.h"
#include "gateway/message_writer.h"
#include "gateway/quarantine_json.h"

namespace feedvault::gateway {
namespace {

constexpr std::uint64_t kQuarantineDefault = 100;
constexpr std::uint64_t kQuarantineMax = 10'000;

Response text_response(int status, std::string text) {
  Response response;
  response.status = status;
  response.set("Content-Type", "text/plain; charset=utf-8");
  response.body = std::move(text);
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
}

void Site::handle(const Request& request, Respond respond) const {
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
  for (const Asset& asset : assets()) {
    router_.add(
        "GET", asset.path, [asset](const Request&, const PathParameters&, const Respond& respond) {
          Response response;
          response.set("Content-Type", std::string(content_type_of(asset.path)));
          response.set("Cache-Control", "no-cache");
          response.body = asset.text;
          respond(std::move(response));
        });
  }
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

void Site::add_feed_routes() {
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
