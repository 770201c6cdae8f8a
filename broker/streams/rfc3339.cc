#include "broker/streams/rfc3339.h"

#include "base/clock.h"

namespace feedvault::broker::streams {

std::string format_rfc3339_ns(std::int64_t unix_ns) {
  constexpr std::int64_t kMicrosecond = 1000;
  std::int64_t micros = unix_ns / kMicrosecond;
  std::int64_t rest = unix_ns % kMicrosecond;
  if (rest < 0) {
    --micros;
    rest += kMicrosecond;
  }
  std::string text = format_rfc3339_us(micros);
  text.pop_back();  // the Z
  const std::string nanos = std::to_string(rest);
  text += std::string(3 - nanos.size(), '0') + nanos;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') {
    text.pop_back();
  }
  return text + 'Z';
}

}  // namespace feedvault::broker::streams
