using System.Text.Json;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Librarian.Domain.Catalog.Conversions;

/// <summary>Stores an enum in its wire form: lower case with underscores.</summary>
internal sealed class SnakeCaseName<T>()
    : ValueConverter<T, string>(
        value => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString()!),
        text => Enum.Parse<T>(text.Replace("_", "", StringComparison.Ordinal), true)
    )
    where T : struct, Enum;
