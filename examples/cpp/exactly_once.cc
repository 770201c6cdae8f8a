// Counts trades and volume of every symbol in a database of yours, each trade exactly once.
//
//     TOTALS_USER=me TOTALS_PASSWORD=... TOTALS_DATABASE=mine example_exactly_once config.toml
//
// The position is saved in the same transaction as the totals. So after any crash, of this program,
// the broker, the gateway or the database, both are as of the same message, and StreamService goes
// on behind it. Tables are made when missing. TOTALS_HOST and TOTALS_PORT: else 127.0.0.1 and 3306.

#include <mysql.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "base/config.h"
#include "client/decode.h"
#include "client/stream_service.h"

namespace {

using namespace std::chrono_literals;

std::string setting(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

/// Totals and position in one database. StreamService asks it where to start; it saves nothing
/// afterwards, because apply() has saved the position already.
class Totals : public feedvault::PositionStore {
 public:
  feedvault::Result<std::optional<std::uint64_t>> load(const std::string& feed) override {
    std::optional<std::uint64_t> seq;
    if (!connect() || !read_position(feed, seq)) {
      return feedvault::unavailable("totals: " + give_up());
    }
    return seq;
  }
  feedvault::Status save(const std::string&, std::uint64_t) override { return {}; }

  /// Effect and position, or neither. Returns when it is done for certain, however long that takes;
  /// false when `stopping` came first.
  bool apply(const feedvault::FeedMessage& message,
             const execution& trade,
             const std::atomic<bool>& stopping) {
    while (!stopping) {
      if (connect() && try_apply(message.position, trade)) {
        return true;
      }
      std::fprintf(stderr, "totals: %s; trying again\n", give_up().c_str());
      std::this_thread::sleep_for(1s);  // the database is away
    }
    return false;
  }

 private:
  struct Close {
    void operator()(MYSQL* mysql) const { mysql_close(mysql); }
  };

  bool connect() {
    if (mysql_ != nullptr) {
      return true;
    }
    mysql_.reset(mysql_init(nullptr));
    return mysql_real_connect(mysql_.get(),
                              setting("TOTALS_HOST", "127.0.0.1").c_str(),
                              setting("TOTALS_USER", "").c_str(),
                              setting("TOTALS_PASSWORD", "").c_str(),
                              setting("TOTALS_DATABASE", "").c_str(),
                              static_cast<unsigned>(std::stoul(setting("TOTALS_PORT", "3306"))),
                              nullptr,
                              0) != nullptr &&
           run("CREATE TABLE IF NOT EXISTS totals (symbol VARCHAR(64) PRIMARY KEY, "
               "trades BIGINT NOT NULL, volume DOUBLE NOT NULL) ENGINE = InnoDB") &&
           run("CREATE TABLE IF NOT EXISTS positions (feed VARCHAR(64) PRIMARY KEY, "
               "seq BIGINT UNSIGNED NOT NULL) ENGINE = InnoDB");
  }

  bool try_apply(const feedvault::Position& position, const execution& trade) {
    // The position first: it locks the row, and tells whether a COMMIT whose answer was lost with
    // the connection has happened after all.
    std::optional<std::uint64_t> seq;
    if (!run("START TRANSACTION") || !read_position(position.feed, seq)) {
      return false;
    }
    if (seq.value_or(0) >= position.seq) {
      return run("ROLLBACK");
    }
    return run("INSERT INTO totals VALUES (" + quoted(trade.symbol()) + ", 1, " +
               number(trade.quantity()) +
               ") ON DUPLICATE KEY UPDATE trades = trades + 1, volume = volume + VALUES(volume)") &&
           run("REPLACE INTO positions VALUES (" + quoted(position.feed) + ", " +
               std::to_string(position.seq) + ")") &&
           run("COMMIT");
  }

  bool read_position(const std::string& feed, std::optional<std::uint64_t>& seq) {
    if (!run("SELECT seq FROM positions WHERE feed = " + quoted(feed) + " FOR UPDATE")) {
      return false;
    }
    MYSQL_RES* rows = mysql_store_result(mysql_.get());
    if (rows == nullptr) {
      return false;
    }
    if (MYSQL_ROW row = mysql_fetch_row(rows); row != nullptr) {
      seq = std::stoull(row[0]);
    }
    mysql_free_result(rows);
    return true;
  }

  bool run(const std::string& sql) { return mysql_query(mysql_.get(), sql.c_str()) == 0; }

  /// All digits that a float has, of the smallest one, too. What is no number counts as 0: SQL has
  /// no word for it.
  static std::string number(float value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", std::isfinite(value) ? double{value} : 0.0);
    return text;
  }

  std::string quoted(const std::string& text) {
    std::string escaped(2 * text.size() + 1, '\0');
    escaped.resize(
        mysql_real_escape_string(mysql_.get(), escaped.data(), text.data(), text.size()));
    return "'" + escaped + "'";
  }

  /// Why it failed. The connection ends, and its transaction with it.
  std::string give_up() {
    std::string why = mysql_error(mysql_.get());
    mysql_.reset();
    return why;
  }

  std::unique_ptr<MYSQL, Close> mysql_;
};

}  // namespace

int main(int argc, char** argv) {
  // Before any thread starts: they all leave these signals to the wait at the end.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const auto config = feedvault::load_config(argc > 1 ? argv[1] : "config.toml", environ);
  if (!config.has_value()) {
    std::fprintf(stderr, "%s\n", config.error().message().c_str());
    return 2;
  }
  Totals totals;
  std::atomic<bool> stopping = false;
  feedvault::StreamService::Options service_options;
  service_options.name = "exactly-once-example";
  service_options.on_gap = [](const feedvault::Gap& gap) {
    std::fprintf(stderr,
                 "lost for good: %llu to %llu\n",
                 static_cast<unsigned long long>(gap.first),
                 static_cast<unsigned long long>(gap.last));
  };
  auto service = feedvault::StreamService::connect(config->nats, service_options);
  if (!service.has_value()) {
    std::fprintf(stderr, "%s\n", service.error().message().c_str());
    return 2;
  }
  feedvault::SubscribeOptions options;
  options.feed = "executions";
  options.start = feedvault::Start::at_stored();  // the first time: everything, out of the table
  options.positions = &totals;
  const auto callback = [&](const feedvault::FeedMessage& message) {
    const auto* trade = dynamic_cast<const execution*>(message.decoded);
    return trade != nullptr && totals.apply(message, *trade, stopping);
  };
  // The totals may be away when we start; later apply() waits for them.
  for (;;) {
    const feedvault::Status subscribed = (*service)->subscribe(options, callback);
    if (subscribed.ok()) {
      break;
    }
    std::fprintf(stderr, "%s; trying again\n", subscribed.message().c_str());
    const timespec pause{.tv_sec = 1, .tv_nsec = 0};
    if (sigtimedwait(&signals, nullptr, &pause) > 0) {
      return 0;
    }
  }
  const timespec second{.tv_sec = 1, .tv_nsec = 0};
  while (sigtimedwait(&signals, nullptr, &second) < 0) {
    if (!(*service)->running(options.feed)) {
      // Whoever watches us may start us again; waiting for a signal would hide it.
      std::fprintf(stderr,
                   "the message behind %s cannot be dealt with\n",
                   (*service)->position(options.feed).to_string().c_str());
      return 1;
    }
  }
  stopping = true;
  static_cast<void>((*service)->drain(5s));  // what is left comes at the next start
  return 0;
}
