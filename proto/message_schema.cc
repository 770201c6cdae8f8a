#include "proto/message_schema.h"

#include <limits>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver.h>
#include <google/protobuf/util/type_resolver_util.h>

#include "proto/json_printer.h"
#include "proto/message_check.h"
#include "proto/proto_file.h"

namespace feedvault {
namespace {

namespace pb = google::protobuf;

constexpr const char* kTypeUrlPrefix = "type.googleapis.com";

MessageSchema::Field describe(const pb::FieldDescriptor& field) {
  std::string type = field.type_name();
  if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM) {
    type = "enum " + field.enum_type()->name();
  } else if (field.is_map()) {
    type = fmt::format("map<{}, {}>",
                       field.message_type()->map_key()->type_name(),
                       field.message_type()->map_value()->type_name());
  } else if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
    type = "message " + field.message_type()->full_name();
  }
  if (field.is_repeated() && !field.is_map()) {
    type = "repeated " + type;
  }
  return {field.name(), field.json_name(), std::move(type), field.is_required()};
}

/// What all decoders of one schema share.
struct Shared {
  Shared(std::unique_ptr<ProtoFile> proto_file, const pb::Descriptor& descriptor)
      : file(std::move(proto_file)),
        factory(&file->pool()),
        prototype(*factory.GetPrototype(&descriptor)),
        check(descriptor),
        printer(descriptor),
        resolver(pb::util::NewTypeResolverForDescriptorPool(kTypeUrlPrefix, &file->pool())),
        type_url(fmt::format("{}/{}", kTypeUrlPrefix, descriptor.full_name())) {}

  std::unique_ptr<ProtoFile> file;
  pb::DynamicMessageFactory factory;
  const pb::Message& prototype;
  MessageCheck check;
  JsonPrinter printer;
  std::unique_ptr<pb::util::TypeResolver> resolver;
  std::string type_url;
  // Protobuf prints a line to stderr for some bad strings; a bad message must not flood the log,
  // and its quarantine says the same.
  pb::LogSilencer silencer;
};

/// Parses every message into one object, whose fields keep their memory.
class SchemaDecoder final : public MessageSchema::Decoder {
 public:
  explicit SchemaDecoder(const Shared& shared)
      : shared_(shared), message_(shared.prototype.New()) {}

  Result<const pb::Message*> decode(std::string_view data) override {
    RETURN_IF_ERROR(check(data));
    return message_.get();
  }

  Status check(std::string_view data) override {
    if (data.empty()) {
      return {StatusCode::kCorruption, "empty payload"};
    }
    if (data.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
        !message_->ParsePartialFromArray(data.data(), static_cast<int>(data.size()))) {
      return {StatusCode::kCorruption,
              fmt::format("not a message of type {}: its {} bytes are no protobuf fields of it",
                          message_->GetDescriptor()->full_name(),
                          data.size())};
    }
    return shared_.check.check(*message_);
  }

  Status to_json(std::string_view data, std::string& json) override {
    RETURN_IF_ERROR(check(data));
    if (shared_.printer.can_print()) {
      shared_.printer.print(*message_, json);
      return {};
    }
    std::string text;
    const auto status = pb::util::BinaryToJsonString(
        shared_.resolver.get(), shared_.type_url, std::string(data), &text);
    if (!status.ok()) {
      return {StatusCode::kCorruption, "no JSON form: " + status.ToString()};
    }
    json += text;
    return {};
  }

 private:
  const Shared& shared_;
  std::unique_ptr<pb::Message> message_;
};

class LoadedSchema final : public MessageSchema {
 public:
  LoadedSchema(std::unique_ptr<ProtoFile> file, const pb::Descriptor& descriptor)
      : shared_(std::move(file), descriptor), type_name_(descriptor.full_name()) {
    for (int i = 0; i < descriptor.field_count(); ++i) {
      fields_.push_back(describe(*descriptor.field(i)));
    }
  }

  const std::vector<Field>& fields() const override { return fields_; }
  const std::string& type_name() const override { return type_name_; }
  std::unique_ptr<Decoder> new_decoder() const override {
    return std::make_unique<SchemaDecoder>(shared_);
  }

 private:
  Shared shared_;
  std::string type_name_;
  std::vector<Field> fields_;
};

}  // namespace

Result<std::unique_ptr<MessageSchema>> MessageSchema::load(const std::string& proto_file,
                                                           const std::string& type) {
  ASSIGN_OR_RETURN(auto file, ProtoFile::read(proto_file));
  ASSIGN_OR_RETURN(const pb::Descriptor* descriptor, file->find_message(type));
  return std::unique_ptr<MessageSchema>(
      std::make_unique<LoadedSchema>(std::move(file), *descriptor));
}

}  // namespace feedvault
