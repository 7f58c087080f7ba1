namespace Librarian.Functions.Documentation;

/// <summary>A part of a request that the function reads by hand, for the API description.</summary>
/// <param name="name">Its name.</param>
/// <param name="type">The type of its value.</param>
/// <param name="meaning">What it does.</param>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public abstract class ReadsAttribute(string name, Type type, string meaning) : Attribute
{
    /// <summary>Its name.</summary>
    public string Name { get; } = name;

    /// <summary>The type of its value.</summary>
    public Type Type { get; } = type;

    /// <summary>What it does.</summary>
    public string Description { get; } = meaning;

    /// <summary>Whether a request without it is refused.</summary>
    public bool Required { get; init; }

    /// <summary>What it is when absent; null: nothing in particular.</summary>
    public object? Default { get; init; }

    /// <summary>Smallest number allowed; NaN: not limited.</summary>
    public double Least { get; init; } = double.NaN;

    /// <summary>Largest number allowed; NaN: not limited.</summary>
    public double Most { get; init; } = double.NaN;
}

/// <summary>A parameter of the query string; its name is not case-sensitive.</summary>
/// <typeparam name="T">The type of its value.</typeparam>
/// <param name="name">Its name.</param>
/// <param name="meaning">What it does.</param>
public sealed class ReadsQueryAttribute<T>(string name, string meaning) : ReadsAttribute(name, typeof(T), meaning);

/// <summary>A segment of the path; on a class, of every function whose route has it.</summary>
/// <param name="name">Its name in the route.</param>
/// <param name="meaning">What it says.</param>
[AttributeUsage(AttributeTargets.Method | AttributeTargets.Class, AllowMultiple = true)]
public sealed class ReadsPathAttribute(string name, string meaning) : ReadsAttribute(name, typeof(string), meaning);

/// <summary>A header.</summary>
/// <param name="name">Its name.</param>
/// <param name="meaning">What it does.</param>
public sealed class ReadsHeaderAttribute(string name, string meaning) : ReadsAttribute(name, typeof(string), meaning);

/// <summary>A body of any JSON.</summary>
/// <param name="meaning">What it does.</param>
public sealed class ReadsJsonAttribute(string meaning) : ReadsAttribute("", typeof(System.Text.Json.JsonElement), meaning);
