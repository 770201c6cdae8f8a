#include "client/nats/connection.h"

#include <atomic>
#include <random>
#include <thread>
#include <unordered_set>

#include "base/backoff.h"
#include "base/log.h"
#include "base/mutex.h"
#include "client/nats/native.h"

// Reconnecting is ours, not cnats': each connection to the broker is a natsConnection of its own
// that is thrown away when it breaks. cnats' reconnecting would keep publishes in a buffer and send
// them late, end for good after two refused logins or an unexpected -ERR, and keep requests for a
// consumer waiting that died with the old connection.

namespace feedvault::nats {
namespace {

constexpr std::chrono::milliseconds kFirstWait{50};
constexpr std::chrono::milliseconds kLongestWait{2000};

/// Says when a natsConnection has ended. Shared by the connection and cnats' callback thread, which
/// may come late.
struct Ending {
  Mutex mutex;
  CondVar changed;
  bool ended GUARDED_BY(mutex) = false;
  bool stop GUARDED_BY(mutex) = false;  // our owner goes; nothing to do with the broker
};

/// How long the broker may take to confirm that a subscription has ended.
constexpr std::chrono::milliseconds kUnsubscribeTimeout{500};

/// One natsConnection; closed with the last reference.
///
/// Until 3.6, cnats' reading thread may still look at a subscription that was destroyed while a
/// message for it was on its way. So a subscription ends here, and is destroyed only when that
/// thread has certainly passed: after a round trip, or after the thread.
struct Native {
  natsConnection* connection = nullptr;
  std::int64_t max_payload = 0;
  std::string url;

  Native() = default;
  Native(const Native&) = delete;
  Native& operator=(const Native&) = delete;
  ~Native() {
    natsConnection_Close(connection);  // joins the reading thread
    for (natsSubscription* subscription : unconfirmed) {
      natsSubscription_Destroy(subscription);
    }
    natsConnection_Destroy(connection);
  }

  void end(natsSubscription* subscription) {
    natsSubscription_Unsubscribe(subscription);
    if (natsConnection_FlushTimeout(connection, kUnsubscribeTimeout.count()) == NATS_OK) {
      natsSubscription_Destroy(subscription);
      return;
    }
    MutexLock lock(mutex);
    unconfirmed.push_back(subscription);
  }

  Mutex mutex;
  std::vector<natsSubscription*> unconfirmed GUARDED_BY(mutex);
};

/// A subscription over all its natsSubscriptions, one a connection.
struct SubscriptionState {
  std::string subject;
  std::string queue_group;  // empty: none
  Connection::Handler handler;
  Connection::LostHandler lost;

  /// Held while the handler runs: whoever has locked it knows that it does not.
  Mutex handling;
  bool gone GUARDED_BY(handling) = false;
  Mutex losing;
  bool lost_gone GUARDED_BY(losing) = false;

  natsSubscription* native = nullptr;  // belongs to the connection's mutex
};

using SubscriptionPtr = std::shared_ptr<SubscriptionState>;

void on_message(natsConnection*, natsSubscription*, natsMsg* native, void* closure) {
  Message message(native);
  auto& state = **static_cast<SubscriptionPtr*>(closure);
  MutexLock lock(state.handling);
  if (!state.gone) {
    state.handler(std::move(message));
  }
}

void on_subscription_done(void* closure) {
  delete static_cast<SubscriptionPtr*>(closure);
}

void on_closed(natsConnection*, void* closure) {
  const std::unique_ptr<std::shared_ptr<Ending>> owner(
      static_cast<std::shared_ptr<Ending>*>(closure));
  Ending& ending = **owner;
  {
    MutexLock lock(ending.mutex);
    ending.ended = true;
  }
  ending.changed.notify_all();
}

void on_async_error(natsConnection* connection, natsSubscription*, natsStatus code, void*) {
  const char* detail = nullptr;
  natsConnection_GetLastError(connection, &detail);
  logger("client")->warn("broker reports an error code={} detail={}",
                         natsStatus_GetText(code),
                         detail == nullptr ? "" : detail);
}

/// Closures whose subscription was closed before we could ask to be told of its end: its thread may
/// still look at them. Some bytes for each connection that breaks within microseconds.
void keep_for_ever(SubscriptionPtr* closure) {
  static Mutex mutex;
  static auto* kept = new std::vector<SubscriptionPtr*>();
  MutexLock lock(mutex);
  kept->push_back(closure);
}

class ConnectionImpl;

class SubscriptionImpl final : public Subscription {
 public:
  SubscriptionImpl(ConnectionImpl& connection, SubscriptionPtr state)
      : connection_(connection), state_(std::move(state)) {}
  SubscriptionImpl(const SubscriptionImpl&) = delete;
  SubscriptionImpl& operator=(const SubscriptionImpl&) = delete;
  ~SubscriptionImpl() override;

 private:
  ConnectionImpl& connection_;
  SubscriptionPtr state_;
};

class ConnectionImpl final : public Connection {
 public:
  ConnectionImpl(OptionsPtr native_options, ConnectionOptions options)
      : native_options_(std::move(native_options)), options_(std::move(options)) {}
  ConnectionImpl(const ConnectionImpl&) = delete;
  ConnectionImpl& operator=(const ConnectionImpl&) = delete;
  ~ConnectionImpl() override;

  /// The first attempt, then the thread that keeps the connection up.
  Status start();

  Status publish(const Outgoing& message) override;
  Status flush(std::chrono::milliseconds timeout) override;
  Result<Message> request(const Outgoing& message, std::chrono::milliseconds timeout) override;
  Result<std::unique_ptr<Subscription>> subscribe(const std::string& subject,
                                                  Handler handler,
                                                  LostHandler lost) override;
  Result<std::unique_ptr<Subscription>> subscribe_queue(const std::string& subject,
                                                        const std::string& queue_group,
                                                        Handler handler) override;
  bool connected() const override;
  std::uint64_t reconnects() const override { return reconnects_.load(); }
  std::int64_t max_payload() const override;
  std::string server_version() const override;
  std::string connected_url() const override;
  std::string new_inbox() override;

  void remove(const SubscriptionPtr& state);

 private:
  std::shared_ptr<Native> current() const {
    MutexLock lock(mutex_);
    return current_;
  }
  Status connect_once();
  Result<std::unique_ptr<Subscription>> add(SubscriptionPtr state);
  static Status subscribe_native(const SubscriptionPtr& state, natsConnection* connection);
  void keep_up();
  bool wait_for_end();
  /// Closes a connection and takes all subscriptions off it; returns those.
  std::vector<SubscriptionPtr> abandon(const Native& native);
  void retire();
  void report(ConnectionState state, const std::string& detail);
  bool wait_unless_stopped(std::chrono::milliseconds time);
  /// A write that failed in the middle leaves half a message behind: the connection is unusable.
  static Status publish_failed(natsStatus code, const Native& native);

  const OptionsPtr native_options_;
  const ConnectionOptions options_;
  Logger log_ = logger("client");

  mutable Mutex mutex_;
  std::shared_ptr<Native> current_ GUARDED_BY(mutex_);
  std::unordered_set<SubscriptionPtr> subscriptions_ GUARDED_BY(mutex_);
  std::int64_t max_payload_ GUARDED_BY(mutex_) = 0;

  std::shared_ptr<Ending> ending_;  // of current_; keeper thread and start() only
  Mutex stop_mutex_;
  CondVar stop_changed_;
  bool stop_ GUARDED_BY(stop_mutex_) = false;
  std::shared_ptr<Ending> to_wake_ GUARDED_BY(stop_mutex_);

  std::atomic<std::uint64_t> reconnects_{0};
  bool ever_connected_ GUARDED_BY(mutex_) = false;
  std::thread keeper_;
};

SubscriptionImpl::~SubscriptionImpl() {
  connection_.remove(state_);
  {
    MutexLock lock(state_->handling);
    state_->gone = true;
  }
  MutexLock lock(state_->losing);
  state_->lost_gone = true;
}

ConnectionImpl::~ConnectionImpl() {
  {
    MutexLock lock(stop_mutex_);
    stop_ = true;
    if (to_wake_ != nullptr) {
      MutexLock ending_lock(to_wake_->mutex);
      to_wake_->stop = true;
      to_wake_->changed.notify_all();
    }
  }
  stop_changed_.notify_all();
  if (keeper_.joinable()) {
    keeper_.join();
  }
}

Status ConnectionImpl::start() {
  Status first = connect_once();
  if (!first.ok() && (options_.require_at_open || first.code() == StatusCode::kInvalidArgument)) {
    return first;
  }
  keeper_ = std::thread([this, first] {
    if (first.ok()) {
      report(ConnectionState::kConnected, connected_url());
    } else {
      report(ConnectionState::kReconnecting, first.message());
    }
    keep_up();
  });
  return {};
}

Status ConnectionImpl::connect_once() {
  auto ending = std::make_shared<Ending>();
  auto closure = std::make_unique<std::shared_ptr<Ending>>(ending);
  auto native = std::make_shared<Native>();
  natsOptions_SetClosedCB(native_options_.get(), on_closed, closure.get());
  natsOptions_SetErrorHandler(native_options_.get(), on_async_error, nullptr);
  const natsStatus code = natsConnection_Connect(&native->connection, native_options_.get());
  if (code != NATS_OK) {
    const Status status = to_status(code, "connect to the broker");
    return status.code() == StatusCode::kInvalidArgument ? status : unavailable(status.message());
  }
  closure.release();  // NOLINT(bugprone-unused-return-value): on_closed frees it, exactly once
  native->max_payload = natsConnection_GetMaxPayload(native->connection);
  char url[512] = "";
  natsConnection_GetConnectedUrl(native->connection, url, sizeof(url));
  native->url = url;
  learn_message_layout(native->connection);

  Status subscribed;
  {
    MutexLock lock(mutex_);
    for (const SubscriptionPtr& state : subscriptions_) {
      subscribed = subscribe_native(state, native->connection);
      if (!subscribed.ok()) {
        break;
      }
    }
    if (subscribed.ok()) {
      // Before anybody can see the new connection.
      reconnects_ += ever_connected_ ? 1U : 0U;
      ever_connected_ = true;
      max_payload_ = native->max_payload;
      current_ = std::move(native);
      ending_ = std::move(ending);
      return {};
    }
  }
  abandon(*native);
  return subscribed;
}

Status ConnectionImpl::subscribe_native(const SubscriptionPtr& state, natsConnection* connection) {
  auto closure = std::make_unique<SubscriptionPtr>(state);
  const char* const subject = state->subject.c_str();
  const natsStatus code =
      state->queue_group.empty()
          ? natsConnection_Subscribe(&state->native, connection, subject, on_message, closure.get())
          : natsConnection_QueueSubscribe(&state->native,
                                          connection,
                                          subject,
                                          state->queue_group.c_str(),
                                          on_message,
                                          closure.get());
  RETURN_IF_ERROR(to_status(code, "subscribe"));
  SubscriptionPtr* const raw = closure.release();
  if (natsSubscription_SetOnCompleteCB(state->native, on_subscription_done, raw) != NATS_OK) {
    keep_for_ever(raw);
    return unavailable("subscribe: the connection was lost");
  }
  return to_status(natsSubscription_SetPendingLimits(state->native, -1, -1), "subscribe");
}

void ConnectionImpl::keep_up() {
  Backoff backoff(kFirstWait, kLongestWait, std::random_device()());
  std::string last_problem;
  for (;;) {
    if (current() == nullptr) {
      if (wait_unless_stopped(backoff.next())) {
        break;
      }
      if (const Status status = connect_once(); !status.ok()) {
        if (status.message() != last_problem) {  // once per reason, not once per attempt
          last_problem = status.message();
          log_->warn("broker away name={} problem={}", options_.name, last_problem);
        }
        continue;
      }
      last_problem.clear();
      backoff.reset();
      report(ConnectionState::kConnected, connected_url());
    }
    if (wait_for_end()) {
      break;
    }
    const char* detail = nullptr;
    natsConnection_GetLastError(current()->connection, &detail);
    const std::string reason =
        detail == nullptr || *detail == '\0' ? "the connection was closed" : detail;
    retire();
    report(ConnectionState::kReconnecting, reason);
  }
  retire();
  report(ConnectionState::kClosed, "closed by us");
}

bool ConnectionImpl::wait_for_end() {
  {
    MutexLock lock(stop_mutex_);
    if (stop_) {
      return true;
    }
    to_wake_ = ending_;
  }
  MutexLock lock(ending_->mutex);
  while (!ending_->ended && !ending_->stop) {
    ending_->changed.wait(ending_->mutex);
  }
  return ending_->stop;
}

bool ConnectionImpl::wait_unless_stopped(std::chrono::milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  MutexLock lock(stop_mutex_);
  while (!stop_ && stop_changed_.wait_until(stop_mutex_, deadline)) {
  }
  return stop_;
}

std::vector<SubscriptionPtr> ConnectionImpl::abandon(const Native& native) {
  natsConnection_Close(native.connection);  // first: see Native
  MutexLock lock(mutex_);
  if (current_.get() == &native) {
    current_ = nullptr;
  }
  for (const SubscriptionPtr& state : subscriptions_) {
    natsSubscription_Destroy(std::exchange(state->native, nullptr));
  }
  return {subscriptions_.begin(), subscriptions_.end()};
}

void ConnectionImpl::retire() {
  const std::shared_ptr<Native> old = current();
  if (old == nullptr) {
    return;
  }
  for (const SubscriptionPtr& state : abandon(*old)) {
    MutexLock lock(state->losing);
    if (!state->lost_gone && state->lost) {
      state->lost();
    }
  }
}

void ConnectionImpl::report(ConnectionState state, const std::string& detail) {
  switch (state) {
    case ConnectionState::kConnected:
      log_->info("connected to the broker name={} url={}", options_.name, detail);
      break;
    case ConnectionState::kReconnecting:
      log_->warn("no connection to the broker, retrying name={} reason={}", options_.name, detail);
      break;
    case ConnectionState::kClosed:
      log_->debug("connection closed name={}", options_.name);
      break;
  }
  if (options_.on_state) {
    options_.on_state(state, detail);
  }
}

Status ConnectionImpl::publish_failed(natsStatus code, const Native& native) {
  Status status = to_status(code, "publish");
  if (status.code() != StatusCode::kInvalidArgument) {
    natsConnection_Close(native.connection);
    return unavailable(status.message());
  }
  return status;
}

/// cnats wants zero-terminated text; each thread reuses its buffers.
struct Scratch {
  std::string subject;
  std::string reply;
  std::string name;
  std::string value;
};

Scratch& scratch() {
  thread_local Scratch buffers;
  return buffers;
}

/// A line break in a value would start another header.
void append_value(std::string& to, std::string_view value) {
  for (const char c : value) {
    to.push_back(c == '\r' || c == '\n' ? ' ' : c);
  }
}

/// A natsMsg with headers; freed at the end of the scope.
struct OutgoingMsg {
  natsMsg* msg = nullptr;
  OutgoingMsg() = default;
  OutgoingMsg(const OutgoingMsg&) = delete;
  OutgoingMsg& operator=(const OutgoingMsg&) = delete;
  ~OutgoingMsg() { dispose(msg); }

  natsStatus build(const Outgoing& from, Scratch& buffers) {
    const natsStatus code = natsMsg_Create(&msg,
                                           buffers.subject.c_str(),
                                           from.reply.empty() ? nullptr : buffers.reply.c_str(),
                                           from.payload.data(),
                                           static_cast<int>(from.payload.size()));
    if (code != NATS_OK || from.headers.empty()) {
      return code;
    }
    // cnats keeps headers in a hash table and writes each as "name: value" CRLF. An entry costs it
    // four allocations, which with five headers is nearly all of the cost of publishing. So there
    // is one entry, and its name holds the lines before the last one as well. On the wire it is the
    // same.
    buffers.name.clear();
    for (const Header& header : from.headers.first(from.headers.size() - 1)) {
      buffers.name += header.name;
      buffers.name += ": ";
      append_value(buffers.name, header.value);
      buffers.name += "\r\n";
    }
    buffers.name += from.headers.back().name;
    buffers.value.clear();
    append_value(buffers.value, from.headers.back().value);
    return natsMsgHeader_Set(msg, buffers.name.c_str(), buffers.value.c_str());
  }
};

std::size_t header_bytes(std::span<const Header> headers) {
  if (headers.empty()) {
    return 0;
  }
  std::size_t total = sizeof("NATS/1.0\r\n\r\n") - 1;
  for (const Header& header : headers) {
    total += std::char_traits<char>::length(header.name) + header.value.size() + 4;  // ": " CRLF
  }
  return total;
}

Status check_size(const Outgoing& message, const Native& native) {
  const std::size_t size = header_bytes(message.headers) + message.payload.size();
  if (size > static_cast<std::size_t>(native.max_payload)) {
    return invalid_argument("message of " + std::to_string(size) +
                            " bytes is over the broker's max_payload of " +
                            std::to_string(native.max_payload));
  }
  return {};
}

Status ConnectionImpl::publish(const Outgoing& message) {
  const std::shared_ptr<Native> native = current();
  if (native == nullptr) {
    return unavailable("publish: not connected to the broker");
  }
  RETURN_IF_ERROR(check_size(message, *native));
  Scratch& buffers = scratch();
  buffers.subject.assign(message.subject);
  buffers.reply.assign(message.reply);
  natsStatus code = NATS_OK;
  if (!message.headers.empty()) {
    OutgoingMsg outgoing;
    code = outgoing.build(message, buffers);
    if (code == NATS_OK) {
      code = natsConnection_PublishMsg(native->connection, outgoing.msg);
    }
  } else if (!message.reply.empty()) {
    code = natsConnection_PublishRequest(native->connection,
                                         buffers.subject.c_str(),
                                         buffers.reply.c_str(),
                                         message.payload.data(),
                                         static_cast<int>(message.payload.size()));
  } else {
    code = natsConnection_Publish(native->connection,
                                  buffers.subject.c_str(),
                                  message.payload.data(),
                                  static_cast<int>(message.payload.size()));
  }
  return code == NATS_OK ? Status() : publish_failed(code, *native);
}

Status ConnectionImpl::flush(std::chrono::milliseconds timeout) {
  const std::shared_ptr<Native> native = current();
  if (native == nullptr) {
    return unavailable("flush: not connected to the broker");
  }
  return to_status(
      natsConnection_FlushTimeout(native->connection, std::max<std::int64_t>(1, timeout.count())),
      "flush");
}

Result<Message> ConnectionImpl::request(const Outgoing& message,
                                        std::chrono::milliseconds timeout) {
  const std::shared_ptr<Native> native = current();
  if (native == nullptr) {
    return unavailable("request: not connected to the broker");
  }
  RETURN_IF_ERROR(check_size(message, *native));
  Scratch& buffers = scratch();
  buffers.subject.assign(message.subject);
  buffers.reply.clear();
  Outgoing without_reply = message;
  without_reply.reply = {};
  OutgoingMsg outgoing;
  natsStatus code = outgoing.build(without_reply, buffers);
  natsMsg* answer = nullptr;
  if (code == NATS_OK) {
    code = natsConnection_RequestMsg(
        &answer, native->connection, outgoing.msg, std::max<std::int64_t>(1, timeout.count()));
  }
  if (code != NATS_OK) {
    return to_status(code, "request").with_context(message.subject);
  }
  return Message(answer);
}

Result<std::unique_ptr<Subscription>> ConnectionImpl::subscribe(const std::string& subject,
                                                                Handler handler,
                                                                LostHandler lost) {
  auto state = std::make_shared<SubscriptionState>();
  state->subject = subject;
  state->handler = std::move(handler);
  state->lost = std::move(lost);
  return add(std::move(state));
}

Result<std::unique_ptr<Subscription>> ConnectionImpl::subscribe_queue(
    const std::string& subject, const std::string& queue_group, Handler handler) {
  auto state = std::make_shared<SubscriptionState>();
  state->subject = subject;
  state->queue_group = queue_group;
  state->handler = std::move(handler);
  return add(std::move(state));
}

Result<std::unique_ptr<Subscription>> ConnectionImpl::add(SubscriptionPtr state) {
  {
    MutexLock lock(mutex_);
    if (current_ != nullptr) {
      const Status status = subscribe_native(state, current_->connection);
      // When the connection broke just now, the next one will carry it.
      if (!status.ok() && status.code() != StatusCode::kUnavailable) {
        return status;
      }
    }
    subscriptions_.insert(state);
  }
  return std::unique_ptr<Subscription>(std::make_unique<SubscriptionImpl>(*this, std::move(state)));
}

void ConnectionImpl::remove(const SubscriptionPtr& state) {
  std::shared_ptr<Native> native;
  natsSubscription* ending = nullptr;
  {
    MutexLock lock(mutex_);
    subscriptions_.erase(state);
    native = current_;
    ending = std::exchange(state->native, nullptr);
  }
  if (ending != nullptr) {
    native->end(ending);
  }
}

bool ConnectionImpl::connected() const {
  const std::shared_ptr<Native> native = current();
  return native != nullptr &&
         natsConnection_Status(native->connection) == NATS_CONN_STATUS_CONNECTED;
}

std::int64_t ConnectionImpl::max_payload() const {
  MutexLock lock(mutex_);
  return max_payload_;
}

std::string ConnectionImpl::server_version() const {
  const std::string url = connected_url();
  return url.empty() ? url : read_server_version(url, options_.connect_timeout);
}

std::string ConnectionImpl::connected_url() const {
  const std::shared_ptr<Native> native = current();
  return native == nullptr ? std::string() : native->url;
}

std::string ConnectionImpl::new_inbox() {
  natsInbox* inbox = nullptr;
  if (natsInbox_Create(&inbox) != NATS_OK) {
    throw std::bad_alloc();  // its only way to fail
  }
  std::string text(inbox);
  natsInbox_Destroy(inbox);
  return text;
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const NatsConfig& config,
                                                     ConnectionOptions options) {
  ASSIGN_OR_RETURN(OptionsPtr native_options, make_options(config, options));
  auto connection = std::make_unique<ConnectionImpl>(std::move(native_options), std::move(options));
  RETURN_IF_ERROR(connection->start());
  return std::unique_ptr<Connection>(std::move(connection));
}

}  // namespace feedvault::nats
