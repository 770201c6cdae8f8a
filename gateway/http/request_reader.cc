// The only file that includes Beast's parser.

#include "gateway/http/request_reader.h"

#include <algorithm>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/ascii.h"
#include "gateway/limits.h"

namespace feedvault::gateway {
namespace {

namespace http = boost::beast::http;

std::string text_of(boost::beast::string_view view) {
  return {view.data(), view.size()};
}

}  // namespace

struct RequestReader::Parser {
  http::request_parser<http::string_body> beast;
};

RequestReader::RequestReader() = default;
RequestReader::~RequestReader() = default;

RequestReader::State RequestReader::refuse(int status, std::string reason) {
  refused_status_ = status;
  refused_reason_ = std::move(reason);
  return State::kRefused;
}

RequestReader::State RequestReader::feed(std::string& bytes) {
  if (parser_ == nullptr) {
    // Empty lines before a request are to be passed over (RFC 9112, 2.2).
    bytes.erase(0, std::min(bytes.find_first_not_of("\r\n"), bytes.size()));
    if (bytes.empty()) {
      return State::kNeedMore;
    }
    parser_ = std::make_unique<Parser>();
    parser_->beast.header_limit(kHeaderBytesMax);
    parser_->beast.body_limit(kRequestBodyBytesMax);
    parser_->beast.eager(true);
    taken_bytes_ = 0;
  }
  boost::beast::error_code error;
  while (!bytes.empty() && !parser_->beast.is_done()) {
    const std::size_t used =
        parser_->beast.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    bytes.erase(0, used);
    taken_bytes_ += used;
    if (error || used == 0) {
      break;
    }
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return refuse(
        431, "the request's headers are longer than " + std::to_string(kHeaderBytesMax) + " bytes");
  }
  if (error == http::error::body_limit) {
    return refuse(
        413,
        "the request's body is longer than " + std::to_string(kRequestBodyBytesMax) + " bytes");
  }
  if (error == http::error::bad_version) {
    return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  }
  if (error && error != http::error::need_more) {
    return refuse(400, "this is not a request of HTTP/1.1: " + error.message());
  }
  // Chunks' extensions and trailers are in no limit of the parser's. What follows a whole request
  // is not this one's.
  const bool done = parser_->beast.is_done();
  if (taken_bytes_ + (done ? 0 : bytes.size()) > kHeaderBytesMax + 2 * kRequestBodyBytesMax) {
    return refuse(413, "the request is too long");
  }
  return done ? check() : State::kNeedMore;
}

// What the grammar lets pass.
RequestReader::State RequestReader::check() {
  const auto& message = parser_->beast.get();
  std::size_t headers = 0;
  std::size_t hosts = 0;
  for (const auto& field : message) {
    ++headers;
    hosts += field.name() == http::field::host ? 1U : 0U;
  }
  if (headers > kHeadersMax) {
    return refuse(431, "a request has at most " + std::to_string(kHeadersMax) + " headers");
  }
  if (message.target().size() > kTargetBytesMax) {
    return refuse(414, "the target is longer than " + std::to_string(kTargetBytesMax) + " bytes");
  }
  if (hosts > 1 || (message.version() >= 11 && hosts == 0)) {
    return refuse(400, "a request has exactly one Host header");
  }
  if (message.version() != 11 && message.version() != 10) {
    return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  }
  if (message.target().empty() || message.target().front() != '/') {
    return refuse(400, "the target is not a path; write it like /feeds");
  }
  return State::kComplete;
}

Request RequestReader::take() {
  auto& message = parser_->beast.get();
  Request request;
  request.method = text_of(message.method_string());
  const std::string target = text_of(message.target());
  const std::size_t fragment = std::min(target.find('#'), target.size());
  const std::size_t path_end = std::min(target.find('?'), fragment);
  request.path = target.substr(0, path_end);
  if (path_end < fragment) {
    request.query = target.substr(path_end + 1, fragment - path_end - 1);
  }
  for (const auto& field : message) {
    request.headers.emplace_back(ascii_lower(text_of(field.name_string())), text_of(field.value()));
  }
  request.http11 = message.version() >= 11;
  request.keep_alive = message.keep_alive();
  request.body = std::move(message.body());
  parser_.reset();
  return request;
}

}  // namespace feedvault::gateway
