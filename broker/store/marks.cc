#include "broker/store/marks.h"

#include "broker/store/crc32c.h"
#include "broker/store/format.h"

namespace feedvault::broker::store {
namespace {

//   0  8  magic        24  5 x 8  values
//   8  8  generation   64  4      0
//  16  8  stream id    68  4      CRC-32C of the 68 bytes before
constexpr std::size_t kSlotBytes = 72;
constexpr std::uint64_t kSlotDistance = 4096;  // the largest sector in use
constexpr std::size_t kSlots = 4;              // 0 and 1 durable, 2 and 3 passing

std::string encode(std::string_view magic,
                   std::uint64_t generation,
                   const SlotFile::Contents& contents) {
  std::string slot(kSlotBytes, '\0');
  std::memcpy(slot.data(), magic.data(), 8);
  put(slot.data() + 8, generation);
  put(slot.data() + 16, contents.stream_id);
  std::memcpy(slot.data() + 24, contents.values.data(), sizeof contents.values);
  put(slot.data() + 68, crc32c(0, std::string_view(slot).substr(0, 68)));
  return slot;
}

bool is_whole(std::string_view slot, std::string_view magic) {
  return slot.substr(0, 8) == magic &&
         load<std::uint32_t>(slot.data() + 68) == crc32c(0, slot.substr(0, 68));
}

}  // namespace

Result<std::unique_ptr<SlotFile>> SlotFile::open(FileSystem& fs,
                                                 const std::string& path,
                                                 std::string_view magic,
                                                 std::optional<Contents>& contents) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.open(path));
  std::unique_ptr<SlotFile> slots(new SlotFile(std::move(file), magic));
  std::array<std::uint64_t, kSlots> generations{};
  for (std::size_t i = 0; i < kSlots; ++i) {
    char bytes[kSlotBytes];
    ASSIGN_OR_RETURN(const std::size_t n, slots->file_->read_at(i * kSlotDistance, bytes));
    const std::string_view slot(bytes, kSlotBytes);
    if (n != kSlotBytes || !is_whole(slot, magic)) {
      // An interrupted creation leaves untouched ones.
      if (slot.substr(0, n).find_first_not_of('\0') != std::string_view::npos) {
        ++slots->damaged_slots_;
      }
      continue;
    }
    const auto generation = load<std::uint64_t>(bytes + 8);
    generations[i] = generation;
    if (!contents.has_value() || generation > slots->generation_) {
      slots->generation_ = generation;
      contents.emplace();
      contents->stream_id = load<std::uint64_t>(bytes + 16);
      std::memcpy(contents->values.data(), bytes + 24, sizeof contents->values);
    }
  }
  slots->durable_slot_ = generations[0] > generations[1] ? 1 : 0;
  slots->passing_slot_ = generations[2] > generations[3] ? 3 : 2;
  return slots;
}

Result<std::unique_ptr<SlotFile>> SlotFile::create(FileSystem& fs,
                                                   const std::string& path,
                                                   std::string_view magic,
                                                   const Contents& contents) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.create(path));
  std::unique_ptr<SlotFile> slots(new SlotFile(std::move(file), magic));
  // All slots exist from the start, so that no later write needs space.
  for (std::size_t slot = kSlots; slot-- > 1;) {
    RETURN_IF_ERROR(slots->write(slot, contents));
  }
  RETURN_IF_ERROR(slots->write_durably(contents));
  return slots;
}

Status SlotFile::write(std::size_t slot, const Contents& contents) {
  ++generation_;
  return file_->write_at(slot * kSlotDistance, encode(magic_, generation_, contents));
}

Status SlotFile::write_durably(const Contents& contents) {
  RETURN_IF_ERROR(write(durable_slot_, contents));
  durable_slot_ = 1 - durable_slot_;
  return file_->sync();
}

Status SlotFile::write_passing(const Contents& contents) {
  RETURN_IF_ERROR(write(passing_slot_, contents));
  passing_slot_ = 5 - passing_slot_;
  return {};
}

}  // namespace feedvault::broker::store
