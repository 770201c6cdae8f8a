#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct z_stream_s;

namespace feedvault::broker {

// permessage-deflate (RFC 7692) without context takeover: every message stands for itself, so that
// idle connections hold nothing and one deflater serves all connections of a thread.

/// Inflates one message after the other, as its pieces come and as there is room. One thread.
class WebsocketInflater {
 public:
  WebsocketInflater();
  ~WebsocketInflater();
  WebsocketInflater(const WebsocketInflater&) = delete;
  WebsocketInflater& operator=(const WebsocketInflater&) = delete;

  struct Progress {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    bool good = true;
  };
  /// Stops when the input or the room is used up.
  Progress inflate(std::string_view input, char* into, std::size_t room);

 private:
  std::unique_ptr<z_stream_s> stream_;
  bool ended_ = false;  // the peer marked a last block
};

/// What stands for itself at a message's end and is not sent.
inline constexpr std::string_view kDeflateTail{"\0\0\xff\xff", 4};

/// Appends `input` as one compressed message to `frame`, fast rather than small. False when it did
/// not get smaller; `frame` is as before then. Any thread; memory of about 256 KB is the thread's.
bool append_deflated(std::string_view input, std::string& frame);

}  // namespace feedvault::broker
