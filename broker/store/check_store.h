#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "broker/store/file_system.h"
#include "broker/store/message_log.h"

namespace feedvault::broker::store {

/// One folder that holds a log.
struct StreamReport {
  std::string dir;
  std::uint64_t segments = 0;
  std::uint64_t records = 0;   // whole ones: messages and removals
  std::uint64_t messages = 0;  // alive and unharmed
  std::uint64_t bytes = 0;     // of the segments' files
  StreamSeq first_seq = 0;
  StreamSeq last_seq = 0;
  bool clean = false;           // closed, so the next start scans nothing
  std::uint64_t cut_bytes = 0;  // of an unfinished write at the end: no loss
  /// Sealed segments whose index is missing or unreadable: no loss, the next start makes it again.
  std::uint64_t indexes_missing = 0;
  /// Of `sequence` and `synced`: damaged where a copy exists, or torn by a power cut. No loss.
  std::uint64_t slots_damaged = 0;
  std::vector<Damage> damage;
};

/// For people: one line, or one and those of what is wrong, each indented and with its end.
std::string describe(const StreamReport& report);
std::string describe(const Damage& damage);

struct StoreReport {
  std::vector<StreamReport> streams;
  std::uint64_t state_files = 0;
  std::vector<Damage> damaged_state_files;
  bool healthy() const;
  /// Some lines for people, one a stream and one a damage.
  std::string to_string() const;
};

/// Verifies every record of every log and every state file (*.state) in `dir` and the folders below
/// it. Changes nothing; the broker must not be running. kNotFound when there is no such folder.
Result<StoreReport> check_store(FileSystem& fs, const std::string& dir);

}  // namespace feedvault::broker::store
