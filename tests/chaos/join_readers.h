#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/config.h"
#include "base/mutex.h"
#include "base/stop_token.h"
#include "client/nats_history.h"
#include "client/stream_service.h"
#include "tests/support/checker.h"

namespace feedvault::testing {

/// What the readers of one feed should have got: the table, in the words of each kind of reader.
struct Expected {
  /// `proto_file` and `type` decode the rows.
  Expected(const std::vector<Delivered>& rows,
           const std::string& proto_file,
           const std::string& type);

  std::vector<std::string> messages;  // row `seq` at seq - 1, as canonical() has it
  std::vector<std::string> events;    // as the data of a server-sent event
};

/// A message in one text: id, time and bytes.
std::string canonical(std::string_view id, std::int64_t timestamp_us, std::string_view data);

/// A subscriber of one feed that goes on by itself, whatever ends under it, and remembers all that
/// it got over all its connections. Any thread.
class JoinReader {
 public:
  virtual ~JoinReader() = default;

  /// Ends soon; the destructor waits for it.
  virtual void give_up() = 0;
  /// Empty when it got exactly what it should: from its start on everything, in order, once.
  virtual std::string difference(const Expected& expected) const = 0;

  /// The position behind the last one that it got, or its start.
  std::uint64_t next() const;
  const std::string& name() const { return name_; }

 protected:
  /// `start`: 0 when the reader is to learn it.
  JoinReader(std::string name, std::uint64_t start) : name_(std::move(name)), start_(start) {}

  void got(std::uint64_t seq, std::string text);
  void complain(const std::string& about);
  void set_start(std::uint64_t start);
  std::uint64_t start() const;
  std::string difference_to(const std::vector<std::string>& expected, bool json) const;

 private:
  const std::string name_;
  mutable Mutex mutex_;
  std::uint64_t start_ GUARDED_BY(mutex_);
  std::vector<std::pair<std::uint64_t, std::string>> got_ GUARDED_BY(mutex_);
  std::string complaint_ GUARDED_BY(mutex_);
};

/// A browser's EventSource. With start 0 it wants what is new.
class SseReader final : public JoinReader {
 public:
  SseReader(std::uint16_t port, std::string feed, std::uint64_t start);
  ~SseReader() override;
  SseReader(const SseReader&) = delete;
  SseReader& operator=(const SseReader&) = delete;

  void give_up() override { gives_up_.request_stop(); }
  std::string difference(const Expected& expected) const override {
    return difference_to(expected.events, /*json=*/true);
  }

 private:
  void run();
  void read_one_connection(std::string& last_id);

  const std::uint16_t port_;
  const std::string feed_;
  StopSource gives_up_;
  std::thread thread_;
};

/// A StreamService.
class ServiceReader final : public JoinReader {
 public:
  ServiceReader(const NatsConfig& broker, const std::string& feed, std::uint64_t start);

  void give_up() override {}
  std::string difference(const Expected& expected) const override {
    return difference_to(expected.messages, /*json=*/false);
  }

 private:
  std::unique_ptr<StreamService> service_;  // last: its threads use what is above
};

/// Reads the history service and nothing else: page by page, to the table's end and on.
class PageReader final : public JoinReader {
 public:
  PageReader(const NatsConfig& broker, std::string feed, std::uint64_t start);
  ~PageReader() override;
  PageReader(const PageReader&) = delete;
  PageReader& operator=(const PageReader&) = delete;

  void give_up() override {
    gives_up_.request_stop();
    history_->cancel();
  }
  std::string difference(const Expected& expected) const override {
    return difference_to(expected.messages, /*json=*/false);
  }

 private:
  void run();

  const std::string feed_;
  std::unique_ptr<nats::Connection> connection_;
  std::unique_ptr<NatsHistory> history_;
  StopSource gives_up_;
  std::thread thread_;
};

}  // namespace feedvault::testing
