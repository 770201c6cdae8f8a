#include "gateway/http/message.h"

#include <algorithm>

namespace feedvault::gateway {
namespace {

void append_header(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ");
  // A value may quote what a client sent; a line's end in it would begin a header of its making.
  std::transform(value.begin(), value.end(), std::back_inserter(head), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  });
  head.append("\r\n");
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) {
      return value;
    }
  }
  return {};
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 421:
      return "Misdirected Request";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

std::string response_head(const Response& response,
                          bool close,
                          bool chunked,
                          std::string_view date) {
  std::string head;
  head.reserve(512);
  head.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ");
  head.append(reason_phrase(response.status)).append("\r\n");
  append_header(head, "Date", date);
  bool has_cache_control = false;
  bool has_policy = false;
  for (const auto& [name, value] : response.headers) {
    has_cache_control = has_cache_control || name == "Cache-Control";
    has_policy = has_policy || name == "Content-Security-Policy";
    append_header(head, name, value);
  }
  if (!has_cache_control) {
    append_header(head, "Cache-Control", "no-store");
  }
  // What comes out of a feed is data, whatever a browser may take it for.
  append_header(head, "X-Content-Type-Options", "nosniff");
  if (!has_policy) {
    append_header(head, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  }
  if (chunked) {
    append_header(head, "Transfer-Encoding", "chunked");
  } else if (response.stream == nullptr && response.status != 204 && response.status != 304) {
    append_header(head, "Content-Length", std::to_string(response.body.size()));
  }
  append_header(head, "Connection", close ? "close" : "keep-alive");
  head.append("\r\n");
  return head;
}

}  // namespace feedvault::gateway
