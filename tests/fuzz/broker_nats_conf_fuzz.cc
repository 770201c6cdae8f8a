// nats-server's configuration grammar, and what is made of it. Never crashes, never takes long;
// errors are one line that begins with the file and the line.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "broker/nats_conf.h"
#include "broker/options_map.h"

namespace {

void require(bool condition, const std::string& what) {
  if (!condition) {
    std::fprintf(stderr, "broken: %s\n", what.c_str());
    std::abort();
  }
}

void check_error(const feedvault::Status& status, const std::string& begins) {
  if (!status.ok()) {
    require(status.message().rfind(begins, 0) == 0, status.message());
    require(!status.message().empty(), "an error without text");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace feedvault::broker;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Includes would read this machine's files.
  if (text.find("nclude") != std::string_view::npos ||
      text.find("NCLUDE") != std::string_view::npos) {
    return 0;
  }
  const char* const environment[] = {"A=1", "B=[1, $A]", "C=$C", nullptr};
  const auto parsed = parse_nats_conf(text, "f", environment);
  check_error(parsed.status(), "f:");
  if (parsed.has_value()) {
    Options options;
    std::vector<std::string> warnings;
    const feedvault::Status applied = apply_configuration(*parsed, options, warnings);
    check_error(applied, "f:");
    if (applied.ok()) {
      // Whatever was accepted can be checked, and is equal to itself.
      const feedvault::Status checked = check_options(options);
      require(checked.ok() || !checked.message().empty(), "an error without text");
      require(compare_options(options, options).refused.empty(), "differs from itself");
    }
  }
  return 0;
}
