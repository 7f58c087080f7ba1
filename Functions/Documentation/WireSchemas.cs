using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Librarian.Client.Wire;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Librarian.Functions.Documentation;

/// <summary>
/// Makes the schemas match the wire. The wire's converters read more than they write (docs/spec/wire.md#json), so the generator learns
/// nothing from them. The schemas describe the one form that they write and that every site reads.
/// </summary>
internal static class WireSchemas
{
    /// <summary>Naive UTC, no fraction or six digits (docs/spec/wire.md#times).</summary>
    private const string TimePattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{6})?$";

    private static readonly Dictionary<Type, JsonSchemaType> Scalars = new()
    {
        [typeof(string)] = JsonSchemaType.String,
        [typeof(bool)] = JsonSchemaType.Boolean,
        [typeof(int)] = JsonSchemaType.Integer,
        [typeof(long)] = JsonSchemaType.Integer,
        [typeof(double)] = JsonSchemaType.Number,
    };

    /// <summary>Sets the serializer options with which the framework's generator sees the wire's names and shapes.</summary>
    internal static void Configure(JsonSerializerOptions options)
    {
        var wire = WireJson.Wire.Options;
        options.PropertyNamingPolicy = wire.PropertyNamingPolicy;
        options.RespectNullableAnnotations = wire.RespectNullableAnnotations;
        options.RespectRequiredConstructorParameters = wire.RespectRequiredConstructorParameters;
        options.NumberHandling = JsonNumberHandling.Strict;
        options.Converters.Add(JsonMetadataServices.GetEnumConverter<AuthLevel>(options));
        options.Converters.Add(JsonMetadataServices.GetEnumConverter<DeletionPolicy>(options));
        options.Converters.Add(JsonMetadataServices.GetEnumConverter<TransferStatus>(options));
        options.Converters.Add(new JsonStringEnumConverter<ErrorSeverity>(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false));
        options.Converters.Add(new JsonStringEnumConverter<ErrorCategory>(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false));
        options.TypeInfoResolver = JsonTypeInfoResolver.Combine(
            ((IJsonTypeInfoResolver)WireJson.Wire).WithAddedModifier(WithoutConverters),
            ((IJsonTypeInfoResolver)OrchestrationJson.Wire).WithAddedModifier(WithoutConverters).WithAddedModifier(InCamelCase),
            new DefaultJsonTypeInfoResolver()
        );
    }

    /// <summary>The name under which a type's schema is shared; null means that it is written inline.</summary>
    internal static string? SharedName(JsonTypeInfo type) =>
        (Nullable.GetUnderlyingType(type.Type) ?? type.Type) == typeof(JsonElement)
        || type.Type == typeof(AsyncProvider)
        || IsEither(type.Type)
            ? null
            : OpenApiOptions.CreateDefaultSchemaReferenceId(type);

    /// <summary>Adds to one schema the facts that the generator cannot know.</summary>
    internal static async Task TransformAsync(
        OpenApiSchema schema,
        OpenApiSchemaTransformerContext context,
        CancellationToken cancellationToken
    )
    {
        var type = Nullable.GetUnderlyingType(context.JsonTypeInfo.Type) ?? context.JsonTypeInfo.Type;
        var orNull = type == context.JsonTypeInfo.Type ? default : JsonSchemaType.Null;
        if (schema.Description is { } description)
            schema.Description = DocStrings.WithoutCitations(description);
        if (schema.Metadata is { } metadata && metadata.TryGetValue("x-ref-description", out var inPlace) && inPlace is string text)
            metadata["x-ref-description"] = DocStrings.WithoutCitations(text);
        if (type == typeof(DateTime))
        {
            Time(schema, orNull);
        }
        else if (type == typeof(TimeWindow) && schema.Pattern is null)
        {
            // The generator calls again for the items, with the same type, as it does for the values of a dictionary.
            schema.Type = JsonSchemaType.Array | orNull;
            schema.Items = new OpenApiSchema();
            Time((OpenApiSchema)schema.Items, default);
            (schema.MinItems, schema.MaxItems) = (2, 2);
        }
        else if (type.IsEnum && schema.OneOf is null)
        {
            DescribeMembers(schema, type);
        }
        else if (IsEither(type))
        {
            (schema.Type, schema.Description) = (null, null);
            schema.AnyOf =
            [
                .. await Task.WhenAll(type.GetGenericArguments().Select(t => context.GetOrCreateSchemaAsync(t, null, cancellationToken))),
            ];
        }
        else if (context.JsonTypeInfo is { Kind: JsonTypeInfoKind.Dictionary, ElementType: { } values })
        {
            var value = await context.GetOrCreateSchemaAsync(Nullable.GetUnderlyingType(values) ?? values, null, cancellationToken);
            schema.AdditionalProperties = Nullable.GetUnderlyingType(values) is null
                ? value
                : new OpenApiSchema { OneOf = [new OpenApiSchema { Type = JsonSchemaType.Null }, value] };
        }
        else if (type == typeof(AsyncProvider))
        {
            Type[] kinds = [typeof(LocalProvider), typeof(GlobusProvider), typeof(RsyncProvider)];
            schema.AnyOf = [.. await Task.WhenAll(kinds.Select(t => context.GetOrCreateSchemaAsync(t, null, cancellationToken)))];
        }
    }

    /// <summary>Moves a field's description beside its name: the generator hides it in one arm of "null or that".</summary>
    internal static void RaiseDescriptions(IOpenApiSchema schema)
    {
        foreach (var field in schema.Properties?.Values.OfType<OpenApiSchema>() ?? [])
        {
            if (field.OneOf?.OfType<OpenApiSchemaReference>().FirstOrDefault() is not { } reference)
                continue;
            field.Description ??= reference.Reference.Description;
            reference.Reference.Description = null;
        }
    }

    internal static IOpenApiSchema OfParameter(ReadsAttribute parameter, OpenApiDocument document)
    {
        if (parameter.Type == typeof(DateTimeOffset))
            return new OpenApiSchema { Type = JsonSchemaType.String, Format = "date-time" };
        if (parameter.Type == typeof(OrchestrationState[]))
            return new OpenApiSchema
            {
                Type = JsonSchemaType.Array,
                Items = new OpenApiSchemaReference(nameof(OrchestrationState), document),
            };
        return new OpenApiSchema
        {
            Type = Scalars[parameter.Type],
            Default = parameter.Default is null ? null : JsonSerializer.SerializeToNode(parameter.Default),
            Minimum = double.IsNaN(parameter.Least) ? null : JsonSerializer.Serialize(parameter.Least),
            Maximum = double.IsNaN(parameter.Most) ? null : JsonSerializer.Serialize(parameter.Most),
        };
    }

    private static bool IsEither(Type type) => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(Either<,>);

    private static void Time(OpenApiSchema schema, JsonSchemaType orNull)
    {
        schema.Type = JsonSchemaType.String | orNull;
        (schema.Format, schema.Pattern) = (null, TimePattern);
        schema.Examples = ["2026-01-02T03:04:05.000100"];
    }

    private static void DescribeMembers(OpenApiSchema schema, Type type)
    {
        var isNumber =
            type.GetCustomAttribute<JsonConverterAttribute>()?.ConverterType is { IsGenericType: true } converter
            && converter.GetGenericTypeDefinition() == typeof(IntegerEnumConverter<>);
        schema.Type = isNumber ? JsonSchemaType.Integer : JsonSchemaType.String;
        // Null is not a member: where a field may be null, the generator says so beside the enum.
        schema.Enum = isNumber
            ? [.. Enum.GetValues(type).Cast<object>().Select(v => (JsonNode)Convert.ToInt32(v))]
            : [.. schema.Enum!.Where(v => v is not null)];
        var names = Enum.GetNames(type).Select(n => isNumber ? n.ToUpperInvariant() : n).ToArray();
        var meanings = Enum.GetNames(type).Select(n => DocStrings.Of(type, n)).ToArray();
        schema.Extensions ??= new Dictionary<string, IOpenApiExtension>();
        if (isNumber)
            schema.Extensions["x-enum-varnames"] = new JsonNodeExtension(new JsonArray([.. names]));
        schema.Extensions["x-enum-descriptions"] = new JsonNodeExtension(new JsonArray([.. meanings]));
        schema.Description =
            DocStrings.Of(type)
            + "\n\n"
            + string.Join(
                '\n',
                schema.Enum.Select((value, i) => isNumber ? $"- `{value}` {names[i]}: {meanings[i]}" : $"- `{value}`: {meanings[i]}")
            );
    }

    private static void WithoutConverters(JsonTypeInfo type)
    {
        foreach (var property in type.Properties)
            property.CustomConverter = null;
    }

    private static void InCamelCase(JsonTypeInfo type)
    {
        foreach (var property in type.Properties)
        {
            if (property.AttributeProvider is MemberInfo member && member.GetCustomAttribute<JsonPropertyNameAttribute>() is null)
                property.Name = JsonNamingPolicy.CamelCase.ConvertName(member.Name);
        }
    }
}
