namespace Librarian.Tests.Durable.Conformance;

/// <summary>Marks the tests of one scenario of the conformance list; the test's name begins with the scenario's.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public sealed class ScenarioAttribute(int number, string name) : Attribute
{
    public int Number => number;

    public string Name => name;
}
