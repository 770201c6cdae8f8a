#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/store/file_system.h"

namespace feedvault::broker::store {

/// How much a state that was written survives.
enum class Promise : std::uint8_t {
  kWritten,     // a kill of the process
  kToBeSynced,  // the same; nobody is told before a sync(), so it is written like what is synced
  kSynced,      // a power cut
};

/// Small state that changes often (a consumer's position and acknowledgements, a stream's
/// configuration): a whole snapshot, and changes to it since, as checksummed records appended to
/// one file. What the texts mean is the caller's business. When the file has grown to several times
/// its snapshot, the next snapshot goes into a new file that is renamed over the old one, so space
/// and time stay bounded; the caller decides when to write snapshots (wants_snapshot() advises).
///
/// After a kill the state is the last one written; after a power cut it is that of the last
/// kSynced call or any later one, never a mixture. A damaged record never turns into wrong content:
/// the state falls back to an earlier whole one, and Contents says so. Snapshots that were promised
/// to be synced, and the first of every file, are there twice, so one damaged place does not cost
/// them.
///
/// Failure: as MessageLog's; the file stops at the first failed write or sync, except kExhausted on
/// a write, after which the record does not count and the call can be repeated. One thread at a
/// time.
class StateFile {
 public:
  struct Contents {
    std::uint64_t generation = 0;  // 0: there was no state
    std::string snapshot;
    std::vector<std::string> changes;  // since the snapshot, oldest first
    std::uint64_t cut_bytes = 0;       // of an unfinished record at the end
    bool damaged = false;              // records were lost: this is an earlier state
    bool repaired = false;  // damage that cost nothing: a bit of the header, a snapshot's copy
  };

  /// Opens the file or starts one (nothing is created before the first write). `contents` receives
  /// what it holds. kCorruption never: a file of rubbish counts as damaged and without state.
  static Result<std::unique_ptr<StateFile>> open(FileSystem& fs,
                                                 const std::string& path,
                                                 Contents& contents);
  /// Reads without changing anything. kNotFound when there is no file.
  static Result<Contents> load(FileSystem& fs, const std::string& path);

  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  /// Replaces the state. At most 64 MiB.
  Status write_snapshot(std::string_view state, Promise promise);
  /// Adds a change. Requires: a snapshot was read or written.
  Status write_change(std::string_view change, Promise promise);
  /// Makes everything written so far durable.
  Status sync();

  /// What was written before begin_sync(), on its way to the disk. run() may be called on another
  /// thread, beside every method of the file and after its end; the rest is the file's thread's.
  class Sync {
   public:
    /// Blocks.
    Status run() const;

   private:
    friend class StateFile;
    std::shared_ptr<class SyncedFile> file_;
    std::uint64_t generation_ = 0;
  };
  /// Several may be under way.
  Sync begin_sync() const;
  /// After run(), with what it returned. Durable up to generation() at the time of begin_sync()
  /// when this is ok.
  Status end_sync(const Sync& sync, const Status& result);

  /// The changes take more room than the snapshot: time for a new one.
  bool wants_snapshot() const;
  /// Counts every record ever written.
  std::uint64_t generation() const;
  /// Up to here they are durable.
  std::uint64_t synced_generation() const;

 private:
  struct State;
  explicit StateFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace feedvault::broker::store
