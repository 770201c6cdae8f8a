// A subscriber whose effect is a line in a file, for the tests that kill it between the effect and
// the saved position. Usage:
//
//   chaos_subscriber <broker port> <feed> <effects file> <position folder, or "with-effect">
//
// Writes "<seq> <id> <timestamp_us> <payload in hex>" for each message, synced. With a position
// folder, the position is a file of its own that follows the effect. "with-effect" takes the
// position from the effects themselves, so that both become true in the same write.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "base/failpoint.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "client/stream_service.h"

namespace feedvault::testing {
namespace {

// One line an effect; a torn last line is an effect that did not happen.
class EffectLog final : public PositionStore {
 public:
  explicit EffectLog(const std::string& path) {
    const std::string text = read_file(path).has_value() ? *read_file(path) : "";
    const std::size_t end = text.rfind('\n');
    const std::size_t whole = end == std::string::npos ? 0 : end + 1;
    if (whole > 0) {
      const std::size_t before = end == 0 ? std::string::npos : text.rfind('\n', end - 1);
      const std::size_t line = before == std::string::npos ? 0 : before + 1;
      last_seq_ = std::strtoull(text.c_str() + line, nullptr, 10);
    }
    fd_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!fd_.valid() || ::ftruncate(fd_.get(), static_cast<off_t>(whole)) != 0 ||
        ::lseek(fd_.get(), 0, SEEK_END) < 0) {
      std::perror(path.c_str());
      std::exit(1);
    }
  }

  void append(const FeedMessage& message) {
    std::string line =
        fmt::format("{} {} {} ", message.position.seq, message.id, message.timestamp_us);
    for (const char c : message.data) {
      line += fmt::format("{:02x}", static_cast<unsigned char>(c));
    }
    line += '\n';
    if (::write(fd_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
        ::fsync(fd_.get()) != 0) {
      std::perror("effects");
      std::exit(1);
    }
    last_seq_ = message.position.seq;
  }

  Result<std::optional<std::uint64_t>> load(const std::string& /*feed*/) override {
    return last_seq_;
  }
  Status save(const std::string& /*feed*/, std::uint64_t /*seq*/) override { return {}; }

 private:
  UniqueFd fd_;
  std::optional<std::uint64_t> last_seq_;
};

int run(char** argv) {
  NatsConfig broker;
  broker.host = "127.0.0.1";
  broker.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  EffectLog effects(argv[3]);
  const std::string positions = argv[4];
  std::unique_ptr<PositionStore> files;
  PositionStore* store = &effects;
  if (positions != "with-effect") {
    auto opened = open_file_position_store(positions);
    if (!opened.has_value()) {
      std::fprintf(stderr, "%s\n", opened.error().to_string().c_str());
      return 1;
    }
    files = std::move(opened).value();
    store = files.get();
  }
  auto service = StreamService::connect(
      broker, {.name = "chaos_subscriber", .on_state = nullptr, .on_gap = nullptr});
  if (!service.has_value()) {
    std::fprintf(stderr, "%s\n", service.error().to_string().c_str());
    return 1;
  }
  const Status subscribed =
      (*service)->subscribe({.feed = argv[2], .start = Start::at_stored(), .positions = store},
                            [&](const FeedMessage& message) {
                              effects.append(message);
                              FAILPOINT("subscriber.effect");
                              return true;
                            });
  if (!subscribed.ok()) {
    std::fprintf(stderr, "%s\n", subscribed.to_string().c_str());
    return 1;
  }
  for (;;) {
    ::pause();
  }
}

}  // namespace
}  // namespace feedvault::testing

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: chaos_subscriber PORT FEED EFFECTS_FILE POSITIONS\n");
    return 2;
  }
  return feedvault::testing::run(argv);
}
