#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "client/nats/native.h"

namespace feedvault::nats {
namespace {

// A broker that vanished without a word (power, cable) is noticed after two unanswered pings.
constexpr std::int64_t kPingIntervalMs = 10'000;
constexpr int kPingsOutMax = 2;
// One that is there but does not read, after this. Long: a broker may slow its producers down.
constexpr std::int64_t kWriteDeadlineMs = 30'000;

Status set_credentials(natsOptions* options, const NatsConfig& config) {
  if (!config.credentials_file.empty()) {
    if (::access(config.credentials_file.c_str(), R_OK) != 0) {
      return invalid_argument("[nats] credentials_file: cannot read " + config.credentials_file);
    }
    return to_status(
        natsOptions_SetUserCredentialsFromFiles(options, config.credentials_file.c_str(), nullptr),
        "[nats] credentials_file");
  }
  if (!config.token.empty()) {
    return to_status(natsOptions_SetToken(options, config.token.c_str()), "[nats] token");
  }
  if (!config.user.empty()) {
    return to_status(natsOptions_SetUserInfo(options, config.user.c_str(), config.password.c_str()),
                     "[nats] user");
  }
  return {};
}

Status set_tls(natsOptions* options, const NatsConfig& config) {
  if (config.tls_ca_file.empty() && config.tls_cert_file.empty()) {
    return {};
  }
  RETURN_IF_ERROR(to_status(natsOptions_SetSecure(options, true), "tls"));
  if (!config.tls_ca_file.empty()) {
    const natsStatus code =
        natsOptions_LoadCATrustedCertificates(options, config.tls_ca_file.c_str());
    if (code != NATS_OK) {
      return invalid_argument("[nats] tls_ca_file: cannot use " + config.tls_ca_file + ": " +
                              to_status(code, "TLS").message());
    }
  }
  if (!config.tls_cert_file.empty()) {
    const natsStatus code = natsOptions_LoadCertificatesChain(
        options, config.tls_cert_file.c_str(), config.tls_key_file.c_str());
    if (code != NATS_OK) {
      return invalid_argument("[nats] tls_cert_file, tls_key_file: cannot use " +
                              config.tls_cert_file + ": " + to_status(code, "TLS").message());
    }
  }
  return {};
}

std::string field_of_info(const std::string& line, const std::string& name) {
  const std::string key = "\"" + name + "\":\"";
  const std::size_t start = line.find(key);
  if (line.compare(0, 5, "INFO ") != 0 || start == std::string::npos) {
    return {};
  }
  const std::size_t value = start + key.size();
  const std::size_t end = line.find('"', value);
  return end == std::string::npos ? std::string() : line.substr(value, end - value);
}

UniqueFd connect_to(const std::string& host, const std::string& port, SteadyTime deadline) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) {
    return {};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    UniqueFd fd(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) {
      continue;
    }
    if (::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0) {
      return fd;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd p{.fd = fd.get(), .events = POLLOUT, .revents = 0};
    int error = 0;
    socklen_t size = sizeof(error);
    if (left.count() > 0 && ::poll(&p, 1, static_cast<int>(left.count())) == 1 &&
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
      return fd;
    }
  }
  return {};
}

}  // namespace

Result<OptionsPtr> make_options(const NatsConfig& config, const ConnectionOptions& options) {
  natsOptions* raw = nullptr;
  RETURN_IF_ERROR(to_status(natsOptions_Create(&raw), "nats options"));
  OptionsPtr owner(raw);

  const std::vector<std::string> urls = config.urls();
  std::vector<const char*> pointers;
  pointers.reserve(urls.size());
  for (const std::string& url : urls) {
    pointers.push_back(url.c_str());
  }
  RETURN_IF_ERROR(
      to_status(natsOptions_SetServers(raw, pointers.data(), static_cast<int>(pointers.size())),
                "[nats] servers"));
  RETURN_IF_ERROR(set_credentials(raw, config));
  RETURN_IF_ERROR(set_tls(raw, config));
  for (const natsStatus code : {
           natsOptions_SetName(raw, options.name.c_str()),
           natsOptions_SetTimeout(raw, options.connect_timeout.count()),
           natsOptions_SetAllowReconnect(raw, false),
           natsOptions_SetPingInterval(raw, kPingIntervalMs),
           natsOptions_SetMaxPingsOut(raw, kPingsOutMax),
           natsOptions_SetWriteDeadline(raw, kWriteDeadlineMs),
           natsOptions_SetSendAsap(raw, options.send_asap),
           natsOptions_SetFailRequestsOnDisconnect(raw, true),
       }) {
    RETURN_IF_ERROR(to_status(code, "nats options"));
  }
  return owner;
}

Status to_status(natsStatus code, const char* what) {
  if (code == NATS_OK) {
    return {};
  }
  std::string text(what);
  text += ": ";
  natsStatus last = NATS_OK;
  const char* detail = nats_GetLastError(&last);
  // The last error of this thread may belong to an older call: only take it when the codes agree.
  text += last == code && detail != nullptr && *detail != '\0' ? detail : natsStatus_GetText(code);
  switch (code) {
    case NATS_TIMEOUT:
      return timeout_error(std::move(text));
    case NATS_NO_RESPONDERS:
    case NATS_NOT_FOUND:
      return not_found(std::move(text));
    case NATS_IO_ERROR:
    case NATS_CONNECTION_CLOSED:
    case NATS_CONNECTION_DISCONNECTED:
    case NATS_NO_SERVER:
    case NATS_STALE_CONNECTION:
    case NATS_NOT_YET_CONNECTED:
    case NATS_DRAINING:
    case NATS_SYS_ERROR:
    case NATS_ERR:
      return unavailable(std::move(text));
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
    case NATS_SECURE_CONNECTION_WANTED:
    case NATS_SECURE_CONNECTION_REQUIRED:
    case NATS_SSL_ERROR:
    case NATS_ADDRESS_MISSING:
    case NATS_INVALID_SUBJECT:
    case NATS_INVALID_ARG:
    case NATS_INVALID_TIMEOUT:
    case NATS_MAX_PAYLOAD:
    case NATS_NO_SERVER_SUPPORT:
      return invalid_argument(std::move(text));
    case NATS_PROTOCOL_ERROR:
    case NATS_LINE_TOO_LONG:
      return protocol_error(std::move(text));
    case NATS_NO_MEMORY:
    case NATS_INSUFFICIENT_BUFFER:
    case NATS_SLOW_CONSUMER:
      return {StatusCode::kExhausted, std::move(text)};
    default:
      return internal_error(std::move(text));
  }
}

std::string read_server_version(const std::string& url, std::chrono::milliseconds timeout) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
  std::string rest = url.substr(url.find("://") == std::string::npos ? 0 : url.find("://") + 3);
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string::npos) {
    return {};
  }
  std::string host = rest.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  const UniqueFd fd = connect_to(host, rest.substr(colon + 1), deadline);
  std::string line;
  while (fd.valid() && line.find('\n') == std::string::npos && line.size() < (64U << 10U)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd p{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || ::poll(&p, 1, static_cast<int>(left.count())) != 1) {
      return {};
    }
    char buffer[4096];
    const ssize_t got = ::recv(fd.get(), buffer, sizeof(buffer), 0);
    if (got <= 0) {
      return {};
    }
    line.append(buffer, static_cast<std::size_t>(got));
  }
  return field_of_info(line, "version");
}

}  // namespace feedvault::nats
