#include "broker/jetstream/check_streams.h"

#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/clock.h"
#include "broker/jetstream/store_folder.h"
#include "broker/store/check_store.h"
#include "broker/streams/consumer_file.h"

namespace feedvault::broker::jetstream {
namespace {

namespace fs_std = std::filesystem;

constexpr const char* kStateName = "stream.state";

bool is_stream(const fs_std::path& dir) {
  std::error_code ignored;
  return fs_std::exists(dir / kStateName, ignored) || fs_std::exists(dir / "messages", ignored);
}

bool has_streams(const fs_std::path& store) {
  std::error_code ignored;
  return fs_std::is_directory(store / "streams", ignored);
}

/// What `dir` means.
struct Found {
  fs_std::path store;                // whose lock counts; empty: a stream without its store
  std::vector<std::string> streams;  // their folders
};

Result<Found> find_streams(const std::string& dir, store::FileSystem& fs) {
  std::error_code error;
  const fs_std::path path = fs_std::canonical(dir, error);
  if (error) {
    return not_found(fmt::format("--check: {}: {}", dir, error.message()));
  }
  Found found;
  if (is_stream(path)) {
    found.streams.push_back(path.string());
    if (path.parent_path().filename() == "streams") {
      found.store = path.parent_path().parent_path();
    }
    return found;
  }
  found.store = has_streams(path) ? path : path / "jetstream";
  if (!has_streams(found.store)) {
    return not_found(fmt::format(
        "--check: {} holds no streams of this broker; give its store_dir, or a stream's folder",
        dir));
  }
  const std::string streams = (found.store / "streams").string();
  ASSIGN_OR_RETURN(const auto entries, fs.list(streams));
  for (const store::DirEntry& entry : entries) {
    if (entry.is_dir) {
      found.streams.push_back(streams + '/' + entry.name);
    }
  }
  return found;
}

std::string damage_line(const std::string& file, const std::string& what) {
  return fmt::format("  damage: {}: {}\n", file, what);
}

constexpr const char* kNothingLost = "a bit was flipped where a copy exists; nothing is lost";

/// One consumer's line; false when its file cannot be read as it was written.
bool describe_consumer(const std::string& path,
                       const std::string& file,
                       store::FileSystem& fs,
                       std::string& text) {
  const auto loaded = streams::ConsumerFile::load(fs, path, streams::Moment::of(Clock::system()));
  if (!loaded) {
    text += damage_line(file, loaded.error().message());
    return false;
  }
  text += fmt::format("  consumer {}: delivered up to {}, acknowledged up to {}, {} pending\n",
                      loaded->stored.config.name,
                      loaded->ledger->delivered().stream,
                      loaded->ledger->floor().stream,
                      loaded->ledger->pending().size());
  if (loaded->damaged) {
    text += damage_line(file, "its newest changes are unreadable: messages will come again");
  } else if (loaded->repaired) {
    text += damage_line(file, kNothingLost);
  }
  return !loaded->damaged && !loaded->repaired;
}

bool describe_consumers(const std::string& stream, store::FileSystem& fs, std::string& text) {
  const std::string dir = stream + "/consumers";
  const auto entries = fs.list(dir);
  bool whole = true;
  for (const store::DirEntry& entry : entries ? *entries : std::vector<store::DirEntry>{}) {
    if (!entry.is_dir && entry.name.ends_with(".state")) {
      whole =
          describe_consumer(dir + '/' + entry.name, "consumers/" + entry.name, fs, text) && whole;
    }
  }
  return whole;
}

/// The configuration's damage in words, or nothing.
std::string configuration_damage(const std::string& stream, store::FileSystem& fs) {
  const auto state = store::StateFile::load(fs, stream + '/' + kStateName);
  if (!state) {
    return state.error().code() == StatusCode::kNotFound ? "the file is missing"
                                                         : state.error().message();
  }
  if (state->generation == 0) {
    return "nothing in it can be read: the stream cannot be served";
  }
  if (state->damaged) {
    return "its newest state is unreadable; an earlier one remains";
  }
  return state->repaired ? kNothingLost : "";
}

Status check_stream(const std::string& dir, store::FileSystem& fs, StreamsCheck& check) {
  ASSIGN_OR_RETURN(const store::StoreReport report, store::check_store(fs, dir));
  const std::string configuration = configuration_damage(dir, fs);
  if (report.streams.empty() && !configuration.empty()) {
    return {};  // a creation or a deletion that was interrupted: nothing was promised
  }
  check.text += fmt::format("stream {}: ", fs_std::path(dir).filename().string());
  if (report.streams.empty()) {
    check.text += "no messages yet\n";
  }
  for (const store::StreamReport& log : report.streams) {
    check.text += store::describe(log);
    check.damaged = check.damaged || !log.damage.empty();
  }
  if (!configuration.empty()) {
    check.text += damage_line(kStateName, configuration);
    check.damaged = true;
  }
  check.damaged = !describe_consumers(dir, fs, check.text) || check.damaged;
  return {};
}

}  // namespace

Result<StreamsCheck> check_streams(const std::string& dir, store::FileSystem& fs) {
  ASSIGN_OR_RETURN(const Found found, find_streams(dir, fs));
  std::optional<StoreFolder> lock;
  if (!found.store.empty()) {
    ASSIGN_OR_RETURN(lock, StoreFolder::look_at(found.store.string()));
  }
  StreamsCheck check;
  for (const std::string& stream : found.streams) {
    RETURN_IF_ERROR(check_stream(stream, fs, check));
  }
  check.text += fmt::format(
      "{} streams: {}\n", found.streams.size(), check.damaged ? "DAMAGED" : "no damage");
  return check;
}

}  // namespace feedvault::broker::jetstream
