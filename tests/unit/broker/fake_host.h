#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/connection.h"

namespace feedvault::broker::testing {

/// What a test lets a connection read and write. Reads come in the pieces in which they were given;
/// writes are taken as far as there is room.
class ScriptedTransport final : public Transport {
 public:
  std::deque<std::string> input;
  bool peer_ended = false;  // ... after the input
  bool broken = false;      // writing fails
  std::size_t room = SIZE_MAX;
  std::string written;
  bool write_shut = false;

  IoResult read(char* into, std::size_t size) override {
    if (input.empty()) {
      return {peer_ended ? IoState::kEnd : IoState::kWouldBlock, 0, 0};
    }
    std::string& piece = input.front();
    const std::size_t taken = std::min(size, piece.size());
    piece.copy(into, taken);
    piece.erase(0, taken);
    if (piece.empty()) {
      input.pop_front();
    }
    return {IoState::kDone, taken, 0};
  }

  IoResult write(const iovec* pieces, std::size_t count) override {
    if (broken) {
      return {IoState::kFailed, 0, EPIPE};
    }
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count && room > 0; ++i) {
      const std::size_t here = std::min(room, pieces[i].iov_len);
      written.append(static_cast<const char*>(pieces[i].iov_base), here);
      room -= room == SIZE_MAX ? 0 : here;
      taken += here;
    }
    return {taken == 0 ? IoState::kWouldBlock : IoState::kDone, taken, 0};
  }
  void shut_write(std::string_view /*reason*/) override { write_shut = true; }
  int fd() const override { return -1; }
};

/// A loop without epoll, threads and other connections: one connection, whose time passes when a
/// test says so. What it publishes is kept, and delivered to nobody.
class FakeHost final : public ConnectionHost {
 public:
  explicit FakeHost(const std::function<void(Options&)>& configure = [](Options&) {}) {
    reconfigure(configure);
    auto owned = std::make_unique<ScriptedTransport>();
    transport = owned.get();
    connection = std::make_unique<Connection>(
        *this, 0, 1, std::move(owned), Peer{"192.0.2.1", 4000, /*websocket=*/false});
  }

  /// New options, from defaults. Before start(), or a reload.
  void reconfigure(const std::function<void(Options&)>& configure) {
    auto made = std::make_shared<Options>();
    configure(*made);
    auto checked = Authenticator::make(made->authorization);
    if (!checked) {
      throw std::runtime_error(checked.error().to_string());
    }
    options = std::move(made);
    authenticator = *checked;
  }

  /// INFO goes out and is forgotten.
  void start() {
    connection->start();
    end_turn();
    sent();
  }
  /// The client sends: one turn, with a read for each piece.
  void receive(std::vector<std::string> pieces) {
    for (std::string& piece : pieces) {
      transport->input.push_back(std::move(piece));
    }
    turn(0x001 /* EPOLLIN */);
  }
  void turn(std::uint32_t events) {
    connection->on_events(events);
    end_turn();
  }
  /// What was written since the last call.
  std::string sent() { return std::exchange(transport->written, {}); }
  /// What the client hears when it says this.
  std::string answer(const std::string& text) {
    receive({text});
    return sent();
  }

  void advance(std::chrono::nanoseconds by) {
    const SteadyTime target = now_ + by;
    while (alarm && *alarm <= target && !is_finished) {
      now_ = std::max(now_, *alarm);
      alarm.reset();
      connection->on_timer();
      end_turn();
    }
    now_ = target;
  }

  void end_turn() {
    while (!dirty_.empty() || !closing_.empty()) {
      for (Connection* const each : std::exchange(closing_, {})) {
        each->subscriptions().clear();
        each->wind_up();
      }
      for (Connection* const each : std::exchange(dirty_, {})) {
        each->flush_turn();
      }
    }
  }

  ScriptedTransport* transport = nullptr;
  std::unique_ptr<Connection> connection;
  std::optional<SteadyTime> alarm;
  bool is_finished = false;
  bool watches_read = true;
  bool watches_write = false;
  bool muted = false;
  int times_congested = 0;
  int times_ready = 0;
  std::vector<std::string> published;  // "subject payload"
  std::vector<std::string> asked;      // subjects of requests to the server
  std::vector<std::string> subjects;   // of subscriptions
  int times_connected = 0;
  std::vector<ConnectCredentials> to_check;
  std::size_t checks_max = 1;

  SteadyTime now() const override { return now_; }
  std::int64_t unix_ns() const override { return now_.time_since_epoch().count(); }
  std::span<char> read_buffer() override { return buffer_; }
  void before_input() override {}
  bool worth_reading_on(bool drained) override { return !drained; }
  void after_input(Connection& /*connection*/) override {}
  void before_output() override {}
  void mark_dirty(Connection& each) override { dirty_.push_back(&each); }
  void watch(Connection& /*connection*/, bool readable, bool writable) override {
    watches_read = readable;
    watches_write = writable;
  }
  void mute(Connection& /*connection*/) override { muted = true; }
  void schedule(Connection& /*connection*/, SteadyTime when) override { alarm = when; }
  void closing(Connection& each) override { closing_.push_back(&each); }
  void finished(Connection& /*connection*/) override { is_finished = true; }
  void route(Connection& /*from*/, const Publish& publish) override {
    published.push_back(std::string(publish.subject) + " " + std::string(publish.body));
  }
  void system_request(Connection& /*from*/, const Publish& publish) override {
    asked.emplace_back(publish.subject);
  }
  void connected(Connection& /*connection*/) override { ++times_connected; }
  void insert(Subscription& subscription) override {
    subjects.emplace_back(subscription.subject());
  }
  void drop(std::unique_ptr<Subscription> subscription) override {
    subjects.erase(std::find(subjects.begin(), subjects.end(), subscription->subject()));
  }
  void expired(Subscription& /*subscription*/) override {}
  void congested(Connection& /*receiver*/) override { ++times_congested; }
  void receiver_ready() override { ++times_ready; }
  bool authenticate_elsewhere(Connection& /*connection*/, ConnectCredentials credentials) override {
    if (to_check.size() >= checks_max) {
      return false;
    }
    to_check.push_back(std::move(credentials));
    return true;
  }
  std::string info(const Connection& /*connection*/, bool lame_duck) override {
    return lame_duck ? "INFO {\"ldm\":true} \r\n" : "INFO {} \r\n";
  }

 private:
  SteadyTime now_{std::chrono::hours(1)};
  std::vector<char> buffer_ = std::vector<char>(kReadBytes);
  std::vector<Connection*> dirty_;
  std::vector<Connection*> closing_;
};

}  // namespace feedvault::broker::testing
