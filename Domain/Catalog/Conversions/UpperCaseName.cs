using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Librarian.Domain.Catalog.Conversions;

/// <summary>Stores an enum by its upper-case member name, as upstream does (docs/spec/upstream.md#storage-conventions).</summary>
internal sealed class UpperCaseName<T>()
    : ValueConverter<T, string>(value => value.ToString()!.ToUpperInvariant(), text => Enum.Parse<T>(text, true))
    where T : struct, Enum;
