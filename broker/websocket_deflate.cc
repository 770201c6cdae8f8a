#include "broker/websocket_deflate.h"

#include <zlib.h>

#include "base/check.h"

namespace feedvault::broker {
namespace {

constexpr int kRawDeflate = -15;  // no header, the largest window
constexpr int kMemoryLevel = 8;   // zlib's default

class Deflater {
 public:
  Deflater() {
    CHECK(::deflateInit2(
              &stream_, Z_BEST_SPEED, Z_DEFLATED, kRawDeflate, kMemoryLevel, Z_DEFAULT_STRATEGY) ==
          Z_OK);
  }
  ~Deflater() { ::deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // How much of `room` was filled; 0 when it was too small.
  std::size_t deflate(std::string_view input, char* into, std::size_t room) {
    CHECK(::deflateReset(&stream_) == Z_OK);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    stream_.next_out = reinterpret_cast<Bytef*>(into);
    stream_.avail_out = static_cast<uInt>(room);
    const int result = ::deflate(&stream_, Z_SYNC_FLUSH);
    return result == Z_OK && stream_.avail_in == 0 && stream_.avail_out > 0
               ? room - stream_.avail_out
               : 0;
  }

 private:
  z_stream stream_{};
};

}  // namespace

WebsocketInflater::WebsocketInflater() : stream_(std::make_unique<z_stream>()) {
  CHECK(::inflateInit2(stream_.get(), kRawDeflate) == Z_OK);
}

WebsocketInflater::~WebsocketInflater() {
  ::inflateEnd(stream_.get());
}

WebsocketInflater::Progress WebsocketInflater::inflate(std::string_view input,
                                                       char* into,
                                                       std::size_t room) {
  if (ended_) {  // the tail, and the filling of a peer that marks his last blocks
    return {input.size(), 0, true};
  }
  stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
  stream_->avail_in = static_cast<uInt>(input.size());
  stream_->next_out = reinterpret_cast<Bytef*>(into);
  stream_->avail_out = static_cast<uInt>(room);
  const int result = ::inflate(stream_.get(), Z_SYNC_FLUSH);
  const Progress progress{input.size() - stream_->avail_in,
                          room - stream_->avail_out,
                          result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR};
  // Z_BUF_ERROR: neither input nor room was of use, which is no error.
  ended_ = result == Z_STREAM_END;
  return progress;
}

bool append_deflated(std::string_view input, std::string& frame) {
  thread_local const std::unique_ptr<Deflater> deflater(new Deflater);
  const std::size_t before = frame.size();
  frame.resize(before + input.size());
  const std::size_t made = deflater->deflate(input, frame.data() + before, input.size());
  const bool smaller = made > kDeflateTail.size();
  frame.resize(smaller ? before + made - kDeflateTail.size() : before);
  return smaller;
}

}  // namespace feedvault::broker
