#include "broker/store/state_file.h"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"
#include "broker/store/crc32c.h"
#include "broker/store/format.h"

namespace feedvault::broker::store {
namespace {

constexpr std::string_view kMagic = "FVSTATE1";
constexpr std::size_t kHeaderBytes = 24;
constexpr std::size_t kRecordBytes = 24;  // before the text
constexpr std::size_t kTextBytesMax = 64U << 20U;
// Below this a new file does not pay: making one takes two syncs, in the middle of things.
constexpr std::uint64_t kFileBytesMin = 512U << 10U;
constexpr std::uint64_t kSnapshotsAFile = 8;

enum class Kind : std::uint32_t { kSnapshot = 1, kChange = 2 };

//  header of the file      record
//   0  8  magic             0  4  CRC-32C, seeded with the salt, of what follows up to the text
//   8  4  version           4  4  bytes of the text
//  12  8  salt              8  4  CRC-32C of the text, seeded
//  20  4  CRC-32C          12  4  kind
//                          16  8  generation
//                          24     text, and zeros up to a multiple of 8
std::string encode_header(std::uint64_t salt) {
  std::string out(kHeaderBytes, '\0');
  std::memcpy(out.data(), kMagic.data(), kMagic.size());
  put(out.data() + 8, kFormatVersion);
  put(out.data() + 12, salt);
  put(out.data() + 20, crc32c(0, std::string_view(out).substr(0, 20)));
  return out;
}

/// The header, with one flipped bit put right: without the salt nothing behind it could be read.
/// (No two headers differ in so few bits that this could make one out of another.)
std::optional<std::string> whole_header(std::string_view bytes) {
  std::string header(bytes.substr(0, kHeaderBytes));
  const auto fits = [&header] {
    return std::string_view(header).substr(0, kMagic.size()) == kMagic &&
           load<std::uint32_t>(header.data() + 8) == kFormatVersion &&
           load<std::uint32_t>(header.data() + 20) ==
               crc32c(0, std::string_view(header).substr(0, 20));
  };
  if (header.size() < kHeaderBytes || fits()) {
    return header.size() < kHeaderBytes ? std::nullopt : std::optional(header);
  }
  for (std::size_t bit = 0; bit < kHeaderBytes * 8; ++bit) {
    const auto mask = static_cast<char>(1U << (bit % 8));
    header[bit / 8] = static_cast<char>(header[bit / 8] ^ mask);
    if (fits()) {
      return header;
    }
    header[bit / 8] = static_cast<char>(header[bit / 8] ^ mask);
  }
  return std::nullopt;
}

std::size_t padded(std::size_t bytes) {
  return (bytes + 7) & ~std::size_t{7};
}

std::string encode_record(Kind kind,
                          std::uint64_t generation,
                          std::string_view text,
                          std::uint32_t seed) {
  std::string out(kRecordBytes + padded(text.size()), '\0');
  put(out.data() + 4, static_cast<std::uint32_t>(text.size()));
  put(out.data() + 8, crc32c(seed, text));
  put(out.data() + 12, static_cast<std::uint32_t>(kind));
  put(out.data() + 16, generation);
  put(out.data(), crc32c(seed, std::string_view(out).substr(4, kRecordBytes - 4)));
  out.replace(kRecordBytes, text.size(), text);
  return out;
}

struct Record {
  Kind kind{};
  std::uint64_t generation = 0;
  std::string_view text;
};

std::optional<Record> parse_record(std::string_view in, std::uint32_t seed) {
  if (in.size() < kRecordBytes ||
      load<std::uint32_t>(in.data()) != crc32c(seed, in.substr(4, kRecordBytes - 4))) {
    return std::nullopt;
  }
  const std::size_t size = load<std::uint32_t>(in.data() + 4);
  const auto kind = load<std::uint32_t>(in.data() + 12);
  if (size > kTextBytesMax || size > in.size() - kRecordBytes || kind < 1 || kind > 2 ||
      crc32c(seed, in.substr(kRecordBytes, size)) != load<std::uint32_t>(in.data() + 8)) {
    return std::nullopt;
  }
  return Record{
      static_cast<Kind>(kind), load<std::uint64_t>(in.data() + 16), in.substr(kRecordBytes, size)};
}

struct Parsed {
  StateFile::Contents contents;
  std::optional<std::uint64_t> salt;  // nothing when the header is damaged
  std::size_t end = 0;                // of the last record that counts
  std::size_t snapshot_bytes = 0;     // in the file
  std::size_t change_bytes = 0;
};

/// The newest snapshot that is whole, and the changes that follow it without a gap.
Parsed parse(std::string_view bytes) {
  Parsed parsed;
  const auto header = whole_header(bytes);
  if (!header) {
    parsed.contents.damaged = true;
    return parsed;
  }
  parsed.salt = load<std::uint64_t>(header->data() + 12);
  parsed.end = kHeaderBytes;
  const std::uint32_t seed = checksum_seed(*parsed.salt);
  StateFile::Contents& contents = parsed.contents;
  contents.repaired = *header != bytes.substr(0, kHeaderBytes);
  bool gap = false;          // something between the last record that counts and here is lost
  std::size_t copy_end = 0;  // of the copy of the snapshot that counts, where it has one
  for (std::size_t at = kHeaderBytes; at + kRecordBytes <= bytes.size();) {
    const auto record = parse_record(bytes.substr(at), seed);
    if (!record.has_value()) {
      gap = true;
      at += 8;
      continue;
    }
    if (gap && at == copy_end && record->generation == contents.generation + 1) {
      gap = false;  // only the copy is lost
      contents.repaired = true;
    }
    const std::size_t size = kRecordBytes + padded(record->text.size());
    at += size;
    copy_end = record->kind == Kind::kSnapshot ? at + size : 0;
    if (!gap && record->kind == Kind::kSnapshot && record->generation == contents.generation &&
        record->text == contents.snapshot) {
      parsed.end = at;  // the copy
      continue;
    }
    if (gap || record->generation != contents.generation + 1) {
      // Bytes that are no record, and a whole one behind them: not an end that was never finished.
      contents.damaged = contents.damaged || parsed.end > kHeaderBytes || gap;
      if (record->kind != Kind::kSnapshot) {
        gap = true;
        continue;
      }
      contents.repaired = contents.repaired || (gap && parsed.snapshot_bytes == 0);
    }
    gap = false;
    contents.generation = record->generation;
    parsed.end = at;
    if (record->kind == Kind::kSnapshot) {
      // What was lost before it does not matter any more.
      contents.damaged = false;
      contents.snapshot.assign(record->text);
      contents.changes.clear();
      parsed.snapshot_bytes = size;
      parsed.change_bytes = 0;
    } else {
      contents.changes.emplace_back(record->text);
      parsed.change_bytes += size;
    }
  }
  if (contents.snapshot.empty() && parsed.snapshot_bytes == 0) {
    contents.changes.clear();  // changes to nothing
    contents.damaged = true;   // a file gets its name with a snapshot in it
    contents.generation = 0;
  }
  contents.cut_bytes = bytes.size() - std::min(bytes.size(), parsed.end);
  return parsed;
}

Result<std::string> read_whole(const File& file) {
  ASSIGN_OR_RETURN(const std::uint64_t size, file.size());
  std::string bytes(size, '\0');
  ASSIGN_OR_RETURN(const std::size_t n, file.read_at(0, std::span(bytes)));
  bytes.resize(n);
  return bytes;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

}  // namespace

/// A file that two threads may sync. The kernel tells of a lost page once, so whoever syncs next
/// must know that somebody else was told.
class SyncedFile {
 public:
  explicit SyncedFile(std::unique_ptr<File> file) : file_(std::move(file)) {}

  File& file() const { return *file_; }

  Status sync() EXCLUDES_LOCK(mutex_) {
    const MutexLock lock(mutex_);
    if (failure_.ok()) {
      failure_ = file_->sync();
    }
    return failure_;
  }

 private:
  const std::unique_ptr<File> file_;
  Mutex mutex_;
  Status failure_ GUARDED_BY(mutex_);
};

struct StateFile::State {
  State(FileSystem& file_system, std::string file_path)
      : fs(file_system), path(std::move(file_path)) {}

  FileSystem& fs;
  const std::string path;
  std::shared_ptr<SyncedFile> file;  // shared with Syncs under way
  std::uint32_t seed = 0;
  std::uint64_t generation = 0;
  std::uint64_t synced = 0;  // generation
  std::uint64_t end = 0;     // where the next record goes
  std::uint64_t snapshot_bytes = 0;
  std::uint64_t change_bytes = 0;
  bool longer = false;    // the file has bytes behind `end`
  bool repaired = false;  // it is damaged where that can be put right: the next snapshot does
  Status failure;

  Status stop(const Status& cause) {
    failure = Status(StatusCode::kIo,
                     "the state in " + path + " is no longer kept: " + cause.message() +
                         "; check the disk, then restart");
    return failure;
  }
  Status append(Kind kind, std::string_view text, Promise promise);
  Status replace(std::string_view text);
  Status sync();
};

StateFile::StateFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
StateFile::~StateFile() = default;

Result<StateFile::Contents> StateFile::load(FileSystem& fs, const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.open(path));
  ASSIGN_OR_RETURN(const std::string bytes, read_whole(*file));
  return parse(bytes).contents;
}

Result<std::unique_ptr<StateFile>> StateFile::open(FileSystem& fs,
                                                   const std::string& path,
                                                   Contents& contents) {
  contents = {};
  auto state = std::make_unique<State>(fs, path);
  Status leftover = fs.remove(path + ".new");
  if (!leftover.ok() && leftover.code() != StatusCode::kNotFound) {
    return leftover;
  }
  auto file = fs.open(path);
  if (!file.has_value() && file.error().code() != StatusCode::kNotFound) {
    return file.error();
  }
  if (file.has_value()) {
    ASSIGN_OR_RETURN(const std::string bytes, read_whole(**file));
    Parsed parsed = parse(bytes);
    state->generation = parsed.contents.generation;
    if (parsed.salt.has_value() && parsed.snapshot_bytes != 0) {
      state->file = std::make_shared<SyncedFile>(std::move(*file));
      state->seed = checksum_seed(*parsed.salt);
      state->end = parsed.end;
      state->snapshot_bytes = parsed.snapshot_bytes;
      state->change_bytes = parsed.change_bytes;
      state->longer = bytes.size() > parsed.end;
      state->repaired = parsed.contents.repaired;
      // What a killed process wrote may be in memory only: nothing counts as synced.
    }
    contents = std::move(parsed.contents);
  }
  return std::unique_ptr<StateFile>(new StateFile(std::move(state)));
}

Status StateFile::State::sync() {
  RETURN_IF_ERROR(failure);
  if (synced == generation || file == nullptr) {
    return {};
  }
  const Status status = file->sync();
  if (!status.ok()) {
    return stop(status);
  }
  synced = generation;
  return {};
}

Status StateFile::State::append(Kind kind, std::string_view text, Promise promise) {
  if (longer) {
    // A stale record behind the new one must not look like its successor.
    const Status status = file->file().truncate(end);
    if (!status.ok()) {
      return stop(status);
    }
    longer = false;
  }
  const std::string record = encode_record(kind, generation + 1, text, seed);
  const bool twice = kind == Kind::kSnapshot && promise != Promise::kWritten;
  Status status = file->file().write_at(end, twice ? record + record : record);
  if (status.code() == StatusCode::kExhausted) {
    longer = true;
    return status;
  }
  if (!status.ok()) {
    return stop(status);
  }
  ++generation;
  end += twice ? 2 * record.size() : record.size();
  snapshot_bytes = kind == Kind::kSnapshot ? record.size() : snapshot_bytes;
  change_bytes = kind == Kind::kSnapshot ? 0 : change_bytes + record.size();
  return promise == Promise::kSynced ? sync() : Status();
}

/// A new file with this snapshot, in the old one's place. Durable: the old file may be what a
/// synced promise rests on, so the new one is on disk before it takes the name. The snapshot is in
/// it twice: there is no earlier one to fall back to.
Status StateFile::State::replace(std::string_view text) {
  std::random_device device;
  const std::uint64_t salt = (std::uint64_t{device()} << 32U) | device();
  const std::string record =
      encode_record(Kind::kSnapshot, generation + 1, text, checksum_seed(salt));
  const std::string bytes = encode_header(salt) + record + record;
  const std::string path_new = path + ".new";
  std::unique_ptr<File> made;
  const auto make = [&]() -> Status {
    ASSIGN_OR_RETURN(made, fs.create(path_new));
    return made->write_at(0, bytes);
  };
  Status status = make();
  if (status.code() == StatusCode::kExhausted) {
    static_cast<void>(fs.remove(path_new));
    return status;
  }
  if (status.ok()) {
    status = made->sync();
  }
  if (status.ok()) {
    status = fs.rename(path_new, path);
  }
  if (status.ok()) {
    status = fs.sync_dir(folder_of(path));
  }
  if (!status.ok()) {
    return stop(status);
  }
  file = std::make_shared<SyncedFile>(std::move(made));
  seed = checksum_seed(salt);
  ++generation;
  synced = generation;
  end = bytes.size();
  snapshot_bytes = record.size();
  change_bytes = 0;
  longer = false;
  repaired = false;
  return {};
}

Status StateFile::write_snapshot(std::string_view state, Promise promise) {
  State& s = *state_;
  RETURN_IF_ERROR(s.failure);
  if (state.size() > kTextBytesMax) {
    return invalid_argument("a state of " + std::to_string(state.size()) + " bytes is too large");
  }
  const std::uint64_t most =
      std::max<std::uint64_t>(kFileBytesMin, kSnapshotsAFile * (state.size() + kRecordBytes));
  if (s.file == nullptr || s.repaired || s.end + state.size() > most) {
    return s.replace(state);
  }
  return s.append(Kind::kSnapshot, state, promise);
}

Status StateFile::write_change(std::string_view change, Promise promise) {
  State& s = *state_;
  RETURN_IF_ERROR(s.failure);
  CHECK(s.file != nullptr);
  if (change.size() > kTextBytesMax) {
    return invalid_argument("a change of " + std::to_string(change.size()) + " bytes is too large");
  }
  return s.append(Kind::kChange, change, promise);
}

Status StateFile::sync() {
  return state_->sync();
}

Status StateFile::Sync::run() const {
  return file_ == nullptr ? Status() : file_->sync();
}

StateFile::Sync StateFile::begin_sync() const {
  Sync sync;
  sync.file_ = state_->file;
  sync.generation_ = state_->generation;
  return sync;
}

Status StateFile::end_sync(const Sync& sync, const Status& result) {
  State& s = *state_;
  RETURN_IF_ERROR(s.failure);
  if (!result.ok() && sync.file_ == s.file) {
    return s.stop(result);
  }
  // A file that was replaced meanwhile does not matter: its successor was durable at once.
  s.synced = std::max(s.synced, sync.file_ == s.file ? sync.generation_ : 0);
  return {};
}

std::uint64_t StateFile::synced_generation() const {
  return state_->synced;
}

bool StateFile::wants_snapshot() const {
  return state_->change_bytes > std::max<std::uint64_t>(state_->snapshot_bytes, 4096);
}

std::uint64_t StateFile::generation() const {
  return state_->generation;
}

}  // namespace feedvault::broker::store
