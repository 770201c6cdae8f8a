#include "broker/websocket_upgrade.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/ascii.h"

namespace feedvault::broker {
namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Up to the separator; takes both out of `rest`.
std::string_view cut(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

// A comma-separated header has this word, in any case.
bool lists(std::string_view header, std::string_view word) {
  while (!header.empty()) {
    if (ascii_lower(trimmed(cut(header, ','))) == word) {
      return true;
    }
  }
  return false;
}

// The headers that matter. Lists that come in several lines are joined.
struct Headers {
  std::string method;
  std::string host;
  std::string upgrade;
  std::string connection;
  std::string key;
  std::string version;
  std::string origin;
  std::string extensions;
  int hosts = 0;
};

void set_header(Headers& headers, const std::string& name, std::string_view value) {
  const auto join = [&](std::string& list) {
    list += list.empty() ? "" : ",";
    list += value;
  };
  if (name == "host") {
    headers.host = value;
    ++headers.hosts;
  } else if (name == "upgrade") {
    join(headers.upgrade);
  } else if (name == "connection") {
    join(headers.connection);
  } else if (name == "sec-websocket-key") {
    headers.key = value;
  } else if (name == "sec-websocket-version") {
    headers.version = value;
  } else if (name == "origin" || (name == "sec-websocket-origin" && headers.origin.empty())) {
    headers.origin = value;
  } else if (name == "sec-websocket-extensions") {
    join(headers.extensions);
  }
}

// nullopt: that is not HTTP.
std::optional<Headers> parse(std::string_view text) {
  Headers headers;
  std::string_view line = cut(text, '\n');
  line = line.substr(0, line.find_last_not_of('\r') + 1);
  headers.method = cut(line, ' ');
  const std::string_view target = cut(line, ' ');
  if (headers.method.empty() || target.empty() || line.substr(0, 7) != "HTTP/1.") {
    return std::nullopt;
  }
  while (!text.empty()) {
    line = cut(text, '\n');
    line = line.substr(0, line.find_last_not_of('\r') + 1);
    if (line.empty()) {
      return headers;
    }
    const std::size_t colon = line.find(':');
    // A line that begins with a blank would continue the one before: obsolete, and a way to
    // smuggle.
    if (colon == std::string_view::npos || colon == 0 ||
        line.substr(0, colon).find_first_of(" \t") != std::string_view::npos) {
      return std::nullopt;
    }
    set_header(headers, ascii_lower(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
  }
  return std::nullopt;
}

struct Authority {
  std::string host;
  std::string port;
  friend bool operator==(const Authority&, const Authority&) = default;
};

// "host", "host:port", "[v6]:port"; the port that its scheme implies where none is named.
Authority authority(std::string_view text, bool tls) {
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  return {ascii_lower(text.substr(0, has_port ? colon : text.size())),
          has_port ? std::string(text.substr(colon + 1)) : (tls ? "443" : "80")};
}

struct Origin {
  std::string scheme;
  Authority where;
  friend bool operator==(const Origin&, const Origin&) = default;
};

std::optional<Origin> parse_origin(std::string_view text) {
  const std::size_t end = text.find("://");
  if (end == std::string_view::npos || end == 0) {
    return std::nullopt;
  }
  Origin origin;
  origin.scheme = ascii_lower(text.substr(0, end));
  std::string_view rest = text.substr(end + 3);
  rest = rest.substr(0, rest.find('/'));
  if (rest.empty()) {
    return std::nullopt;
  }
  origin.where = authority(rest, origin.scheme == "https");
  return origin;
}

// As nats-server: who says no origin is no browser, and is let in.
std::string origin_problem(const Headers& headers, const WebsocketOptions& options, bool tls) {
  if ((!options.same_origin && options.allowed_origins.empty()) || headers.origin.empty()) {
    return "";
  }
  const auto origin = parse_origin(headers.origin);
  if (!origin) {
    return "origin not allowed: it is no URL";
  }
  if (options.same_origin && origin->where != authority(headers.host, tls)) {
    return "origin not allowed: not same origin";
  }
  const auto& allowed = options.allowed_origins;
  const bool listed = std::any_of(allowed.begin(), allowed.end(), [&](const std::string& each) {
    return parse_origin(each) == origin;
  });
  return allowed.empty() || listed ? "" : "origin not allowed: not in the allowed list";
}

// Offers with server_max_window_bits want a smaller window than we have.
bool offers_deflate(std::string_view extensions) {
  while (!extensions.empty()) {
    std::string_view offer = cut(extensions, ',');
    if (ascii_lower(trimmed(cut(offer, ';'))) != "permessage-deflate") {
      continue;
    }
    bool acceptable = true;
    while (!offer.empty()) {
      std::string_view parameter = cut(offer, ';');
      acceptable =
          acceptable && ascii_lower(trimmed(cut(parameter, '='))) != "server_max_window_bits";
    }
    if (acceptable) {
      return true;
    }
  }
  return false;
}

UpgradeRequest::Answer refuse(int status, const std::string& problem) {
  return {false, false, upgrade_refusal(status, problem), problem};
}

}  // namespace

std::string websocket_accept(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  ::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha1(), nullptr);
  std::array<unsigned char, 128> encoded{};  // four thirds of a digest
  const int length = ::EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(size));
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(length)};
}

std::string upgrade_refusal(int status, std::string_view reason) {
  const char* name = "Bad Request";
  switch (status) {
    case 403:
      name = "Forbidden";
      break;
    case 405:
      name = "Method Not Allowed";
      break;
    case 408:
      name = "Request Timeout";
      break;
    case 431:
      name = "Request Header Fields Too Large";
      break;
    default:
      break;
  }
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nSec-WebSocket-Version: 13\r\n"
      "X-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}\n",
      status,
      name,
      reason.size() + 1,
      reason);
}

// The end is a blank line: "\n\r\n", or "\n\n" from people at a terminal.
std::size_t UpgradeRequest::take(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size() && !complete_; ++i) {
    text_ += bytes[i];
    if (bytes[i] == '\n') {
      const std::string_view text = text_;
      complete_ = text == "\n" || text == "\r\n" ||
                  (text.size() >= 2 && text.substr(text.size() - 2) == "\n\n") ||
                  (text.size() >= 3 && text.substr(text.size() - 3) == "\n\r\n");
    }
    if (!complete_ && text_.size() == kUpgradeBytesMax) {
      complete_ = too_long_ = true;
    }
    if (complete_) {
      return i + 1;
    }
  }
  return complete_ ? 0 : bytes.size();
}

UpgradeRequest::Answer UpgradeRequest::answer(const WebsocketOptions& options, bool tls) const {
  if (too_long_) {
    return refuse(431, "the request is too long");
  }
  const auto headers = parse(text_);
  if (!headers) {
    return refuse(400, "that is no HTTP request for a WebSocket");
  }
  if (headers->method != "GET") {
    return refuse(405, "the method must be GET");
  }
  if (headers->hosts != 1 || headers->host.empty()) {
    return refuse(400, "there must be one Host");
  }
  if (!lists(headers->upgrade, "websocket")) {
    return refuse(400, "invalid value for header 'Upgrade'");
  }
  if (!lists(headers->connection, "upgrade")) {
    return refuse(400, "invalid value for header 'Connection'");
  }
  if (headers->key.empty()) {
    return refuse(400, "Sec-WebSocket-Key is missing");
  }
  if (headers->version != "13") {
    return refuse(400, "Sec-WebSocket-Version must be 13");
  }
  if (const std::string problem = origin_problem(*headers, options, tls); !problem.empty()) {
    return refuse(403, problem);
  }
  Answer answer;
  answer.accepted = true;
  answer.compression = options.compression && offers_deflate(headers->extensions);
  answer.response = fmt::format(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\n{}\r\n",
      websocket_accept(headers->key),
      answer.compression ? "Sec-WebSocket-Extensions: permessage-deflate; "
                           "server_no_context_takeover; client_no_context_takeover\r\n"
                         : "");
  return answer;
}

}  // namespace feedvault::broker
