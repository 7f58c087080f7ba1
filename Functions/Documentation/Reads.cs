namespace Librarian.Functions.Documentation;

/// <summary>Documents a part of a request that the function reads itself, without parameter binding.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public abstract class ReadsAttribute(string name, Type type, string meaning) : Attribute
{
    public string Name { get; } = name;

    public Type Type { get; } = type;

    public string Description { get; } = meaning;

    /// <summary>Whether a request without it is refused.</summary>
    public bool Required { get; init; }

    /// <summary>Value if the parameter is absent; null means none in particular.</summary>
    public object? Default { get; init; }

    /// <summary>Smallest number allowed; NaN means no limit.</summary>
    public double Least { get; init; } = double.NaN;

    /// <summary>Largest number allowed; NaN means no limit.</summary>
    public double Most { get; init; } = double.NaN;
}

/// <summary>A parameter of the query string; its name is not case-sensitive.</summary>
public sealed class ReadsQueryAttribute<T>(string name, string meaning) : ReadsAttribute(name, typeof(T), meaning);

/// <summary>A segment of the path; on a class, of every function whose route has it.</summary>
[AttributeUsage(AttributeTargets.Method | AttributeTargets.Class, AllowMultiple = true)]
public sealed class ReadsPathAttribute(string name, string meaning) : ReadsAttribute(name, typeof(string), meaning);

/// <summary>A header of the request.</summary>
public sealed class ReadsHeaderAttribute(string name, string meaning) : ReadsAttribute(name, typeof(string), meaning);

/// <summary>A body of any JSON.</summary>
public sealed class ReadsJsonAttribute(string meaning) : ReadsAttribute("", typeof(System.Text.Json.JsonElement), meaning);
