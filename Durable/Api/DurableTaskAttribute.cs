namespace Librarian.Durable;

/// <summary>
/// Names an orchestrator or activity class. Without a name the class name is used, so give one before renaming a class
/// whose instances may still be running.
/// </summary>
/// <param name="name">The durable name, or null for the class name.</param>
[AttributeUsage(AttributeTargets.Class, Inherited = false)]
public sealed class DurableTaskAttribute(string? name = null) : Attribute
{
    /// <summary>The durable name, or null for the class name.</summary>
    public string? Name { get; } = name;

    internal static string NameOf(Type type)
    {
        var attribute = (DurableTaskAttribute?)GetCustomAttribute(type, typeof(DurableTaskAttribute));
        return attribute?.Name ?? type.Name;
    }
}
