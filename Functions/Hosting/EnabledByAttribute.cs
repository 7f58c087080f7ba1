namespace Librarian.Functions.Hosting;

/// <summary>The function exists only on sites where a setting is true; on others its address is unknown.</summary>
/// <param name="setting">Full name of the setting, such as <c>Site:ApiDocumentation</c>.</param>
[AttributeUsage(AttributeTargets.Method)]
public sealed class EnabledByAttribute(string setting) : Attribute
{
    public string Setting { get; } = setting;
}
