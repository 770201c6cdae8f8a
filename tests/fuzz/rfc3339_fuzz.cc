// Any text as a time: an error, or a time that prints and reads back as itself.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/clock.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto time_ns = feedvault::parse_rfc3339_ns(text);
  if (!time_ns.has_value()) {
    CHECK(time_ns.error().code() == feedvault::StatusCode::kInvalidArgument);
    return 0;
  }
  // Rounded down, also before 1970.
  const std::int64_t us = (*time_ns - ((*time_ns % 1000) + 1000) % 1000) / 1000;
  const std::string printed = feedvault::format_rfc3339_us(us);
  CHECK(printed.size() == 27 && printed.back() == 'Z');
  const auto again = feedvault::parse_rfc3339_ns(printed);
  // An offset may carry a time of the last year over the end of the range.
  CHECK(again.has_value() || printed < "1678" || printed >= "2262");
  CHECK(!again.has_value() || *again == us * 1000);
  return 0;
}
