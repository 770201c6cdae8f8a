#include "proto/proto_file.h"

#include <sys/stat.h>

#include <vector>

#include <fmt/format.h>
#include <google/protobuf/compiler/importer.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/stubs/logging.h>

namespace feedvault {
namespace {

namespace pb = google::protobuf;

// An error is one line for people; a file with a hundred errors is mended from the first.
constexpr std::size_t kErrorsShown = 3;

/// Collects what protobuf says about the files, with places that an editor understands.
class Errors final : public pb::compiler::MultiFileErrorCollector {
 public:
  explicit Errors(std::string folder) : folder_(std::move(folder)) {}

  void AddError(const std::string& file,
                int line,
                int column,
                const std::string& message) override {
    ++count_;
    if (count_ > kErrorsShown) {
      return;
    }
    // Protobuf counts from 0; -1 is the file as a whole.
    const std::string place =
        line < 0 ? std::string() : fmt::format("{}:{}:", line + 1, column + 1);
    text_ += fmt::format("{}{}/{}:{} {}", text_.empty() ? "" : "; ", folder_, file, place, message);
  }

  std::string text() const {
    return count_ > kErrorsShown ? fmt::format("{}; and {} more", text_, count_ - kErrorsShown)
                                 : text_;
  }

 private:
  std::string folder_;
  std::string text_;
  std::size_t count_ = 0;
};

/// google/protobuf/timestamp.proto and its like, out of the library: no header package is needed
/// where the program runs. Nothing else is served, or a type that happens to be compiled into a
/// program would hide a missing import.
class WellKnownTypes final : public pb::DescriptorDatabase {
 public:
  bool FindFileByName(const std::string& name, pb::FileDescriptorProto* output) override {
    if (name.rfind("google/protobuf/", 0) != 0) {
      return false;
    }
    const pb::FileDescriptor* file = pb::DescriptorPool::generated_pool()->FindFileByName(name);
    if (file == nullptr) {
      return false;
    }
    file->CopyTo(output);
    return true;
  }
  bool FindFileContainingSymbol(const std::string& /*symbol*/,
                                pb::FileDescriptorProto* /*output*/) override {
    return false;
  }
  bool FindFileContainingExtension(const std::string& /*type*/,
                                   int /*number*/,
                                   pb::FileDescriptorProto* /*output*/) override {
    return false;
  }
};

void append_type_names(const pb::Descriptor& type, std::vector<std::string>& names) {
  names.push_back(type.full_name());
  for (int i = 0; i < type.nested_type_count(); ++i) {
    if (!type.nested_type(i)->options().map_entry()) {
      append_type_names(*type.nested_type(i), names);
    }
  }
}

bool is_regular_file(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

struct ProtoFile::Parts {
  Parts(const std::string& file_path, const std::string& folder)
      : path(file_path),
        errors(folder),
        database(&source_tree, &well_known_types),
        pool(&database, database.GetValidationErrorCollector()) {
    source_tree.MapPath("", folder);
    database.RecordErrorsTo(&errors);
    pool.EnforceWeakDependencies(true);
  }

  std::string path;
  Errors errors;
  pb::compiler::DiskSourceTree source_tree;
  WellKnownTypes well_known_types;
  pb::compiler::SourceTreeDescriptorDatabase database;
  pb::DescriptorPool pool;
  const pb::FileDescriptor* file = nullptr;
};

ProtoFile::ProtoFile(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ProtoFile::~ProtoFile() = default;

Result<std::unique_ptr<ProtoFile>> ProtoFile::read(const std::string& path) {
  if (!is_regular_file(path)) {
    return invalid_argument(path + ": no such file; name an existing .proto file");
  }
  const std::size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : (slash == 0 ? "/" : path.substr(0, slash));
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  auto parts = std::make_unique<Parts>(path, folder);
  // The library would print warnings (no syntax statement) to stderr in a form of its own.
  const google::protobuf::LogSilencer silence;
  parts->file = parts->pool.FindFileByName(name);
  if (parts->file == nullptr) {
    return invalid_argument(parts->errors.text());
  }
  return std::unique_ptr<ProtoFile>(new ProtoFile(std::move(parts)));
}

Result<const pb::Descriptor*> ProtoFile::find_message(const std::string& type) const {
  std::vector<std::string> names;
  for (int i = 0; i < parts_->file->message_type_count(); ++i) {
    append_type_names(*parts_->file->message_type(i), names);
  }
  for (const std::string& name : names) {
    if (name == type) {
      return parts_->pool.FindMessageTypeByName(type);
    }
  }
  if (names.empty()) {
    return invalid_argument(fmt::format("{}: the file has no message types", parts_->path));
  }
  return invalid_argument(fmt::format(
      "{}: no message type '{}'; the file has: {}", parts_->path, type, fmt::join(names, ", ")));
}

const pb::DescriptorPool& ProtoFile::pool() const {
  return parts_->pool;
}

}  // namespace feedvault
