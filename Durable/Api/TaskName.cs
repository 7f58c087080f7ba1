namespace Librarian.Durable;

/// <summary>Name of an orchestrator or activity. Converts from and to a string; names compare by ordinal value.</summary>
/// <param name="Name">The registered name.</param>
public readonly record struct TaskName(string Name)
{
    /// <summary>The name, never null.</summary>
    public string Name { get; } = Name ?? "";

    /// <summary>Wraps a string.</summary>
    public static implicit operator TaskName(string value) => new(value);

    /// <summary>Unwraps the string.</summary>
    public static implicit operator string(TaskName value) => value.Name ?? "";

    /// <inheritdoc/>
    public override string ToString() => Name ?? "";
}
