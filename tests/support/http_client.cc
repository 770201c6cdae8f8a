#include "tests/support/http_client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "tests/support/loopback.h"

namespace feedvault::testing {

HttpClient::HttpClient(std::uint16_t port, std::chrono::milliseconds patience)
    : fd_(connect_loopback(port)) {
  const timeval limit{.tv_sec = patience.count() / 1000, .tv_usec = patience.count() % 1000 * 1000};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

void HttpClient::limit_receive_buffer(int bytes) {
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

bool HttpClient::send(const std::string& bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t some = ::send(fd_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (some <= 0) {
      return false;
    }
    sent += static_cast<std::size_t>(some);
  }
  return true;
}

bool HttpClient::fill() {
  std::array<char, 65536> bytes;
  const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
  if (got <= 0) {
    return false;
  }
  buffer_.append(bytes.data(), static_cast<std::size_t>(got));
  return true;
}

std::optional<std::string> HttpClient::take_line() {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!fill()) {
      return std::nullopt;
    }
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

HttpExchange HttpClient::receive_head() {
  HttpExchange answer;
  const auto status = take_line();
  if (!status || status->size() < 12) {
    return answer;
  }
  for (auto line = take_line(); line && !line->empty(); line = take_line()) {
    const std::size_t colon = line->find(": ");
    std::string name = line->substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    answer.headers[name] = colon == std::string::npos ? "" : line->substr(colon + 2);
  }
  answer.status = std::atoi(status->c_str() + 9);
  chunked_ = answer.header("transfer-encoding") == "chunked";
  ended_ = false;
  return answer;
}

std::string HttpClient::take_chunk() {
  const auto length = take_line();
  const std::size_t size = length ? std::strtoul(length->c_str(), nullptr, 16) : 0;
  if (!length || size == 0) {
    ended_ = length.has_value() && take_line().has_value();
    return {};
  }
  while (buffer_.size() < size + 2) {
    if (!fill()) {
      return {};
    }
  }
  std::string chunk = buffer_.substr(0, size);
  buffer_.erase(0, size + 2);
  return chunk;
}

std::string HttpClient::receive_some() {
  if (chunked_) {
    return take_chunk();
  }
  if (buffer_.empty() && !fill()) {
    return {};
  }
  return std::exchange(buffer_, {});
}

HttpExchange HttpClient::receive(bool head) {
  HttpExchange answer = receive_head();
  if (answer.status == 0 || head || answer.status == 204 || answer.status == 304) {
    answer.whole = answer.status != 0;
    return answer;
  }
  if (const std::string length = answer.header("content-length"); !length.empty()) {
    const std::size_t size = std::strtoul(length.c_str(), nullptr, 10);
    while (buffer_.size() < size && fill()) {
    }
    answer.whole = buffer_.size() >= size;
    answer.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return answer;
  }
  for (std::string some = receive_some(); !some.empty(); some = receive_some()) {
    answer.body += some;
  }
  answer.whole = !chunked_ || ended_;
  return answer;
}

bool HttpClient::wait_for_end() {
  std::array<char, 65536> bytes;
  for (;;) {
    const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      return got == 0 || errno != EAGAIN;
    }
  }
}

HttpExchange http_request(std::uint16_t port,
                          const std::string& method,
                          const std::string& target,
                          const std::vector<std::string>& headers,
                          const std::string& body) {
  HttpClient client(port);
  std::string request = method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n";
  for (const std::string& header : headers) {
    request += header + "\r\n";
  }
  if (!body.empty()) {
    request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  client.send(request + "\r\n" + body);
  return client.receive(method == "HEAD");
}

EventReader::EventReader(std::uint16_t port,
                         const std::string& target,
                         const std::vector<std::string>& headers,
                         std::chrono::milliseconds patience)
    : client_(port, patience) {
  std::string request = "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n";
  for (const std::string& header : headers) {
    request += header + "\r\n";
  }
  if (client_.send(request + "Accept: text/event-stream\r\n\r\n")) {
    head_ = client_.receive_head();
  }
}

std::optional<SentEvent> EventReader::next() {
  for (;;) {
    std::size_t end = 0;
    while ((end = text_.find("\n\n")) == std::string::npos) {
      const std::string some = client_.receive_some();
      if (some.empty()) {
        return std::nullopt;
      }
      text_ += some;
    }
    SentEvent event;
    std::string block = text_.substr(0, end + 1);
    text_.erase(0, end + 2);
    bool is_event = false;
    for (std::size_t at = 0; at < block.size();) {
      const std::size_t line_end = block.find('\n', at);
      const std::string line = block.substr(at, line_end - at);
      at = line_end + 1;
      if (line.rfind("id: ", 0) == 0) {
        event.id = last_id_ = line.substr(4);
      } else if (line.rfind("event: ", 0) == 0) {
        event.event = line.substr(7);
      } else if (line.rfind("data: ", 0) == 0) {
        event.data += line.substr(6);
        is_event = true;
      }
    }
    if (is_event) {
      return event;
    }
  }
}

}  // namespace feedvault::testing
