using System.Text.RegularExpressions;
using Mono.Cecil;

namespace Librarian.Tests.Orchestrations.Architecture;

/// <summary>A class of one feature uses a class of another.</summary>
/// <param name="From">The feature of the user: the first part of the namespace below the project's, which is also the folder.</param>
/// <param name="To">The feature of the used class.</param>
/// <param name="User">The class that uses.</param>
/// <param name="Used">The class that is used.</param>
internal sealed record FeatureUse(string From, string To, string User, string Used);

/// <summary>
/// Finds in a built assembly which features use which. It sees signatures, attributes and the bodies of methods. It does not see constants
/// and <c>nameof</c>, which the compiler replaces by their values.
/// </summary>
internal static class FeatureUses
{
    /// <summary>Stands for the classes in the project's own namespace.</summary>
    internal const string Root = "(root)";

    /// <summary>Uses between different features below <paramref name="root"/>.</summary>
    internal static IReadOnlyList<FeatureUse> Read(ModuleDefinition module, string root)
    {
        var features = module
            .Types.Where(t => t.Namespace == root || t.Namespace.StartsWith(root + ".", StringComparison.Ordinal))
            .Select(t => (Name: $"{t.Namespace}.{t.Name.Split('`')[0]}", Feature: FeatureOf(t.Namespace, root)))
            .DistinctBy(t => t.Name)
            .ToDictionary(t => t.Name, t => t.Feature, StringComparer.Ordinal);
        var name = new Regex(Regex.Escape(root) + @"(\.\w+)+", RegexOptions.ExplicitCapture, TimeSpan.FromSeconds(10));
        return
        [
            .. from type in module.GetTypes()
            let user = name.Match(type.FullName).Value
            where features.ContainsKey(user)
            from text in Texts(type)
            from used in name.Matches(text).Select(m => m.Value).Distinct()
            where features.ContainsKey(used) && features[used] != features[user]
            let use = new FeatureUse(features[user], features[used], user[(root.Length + 1)..], used[(root.Length + 1)..])
            group use by use into same
            orderby same.Key.From, same.Key.To, same.Key.User, same.Key.Used
            select same.Key,
        ];
    }

    /// <summary>The uses that are part of a cycle of features, one text for each pair of features.</summary>
    internal static IReadOnlyList<string> Cycles(IReadOnlyList<FeatureUse> uses)
    {
        var next = uses.ToLookup(u => u.From, u => u.To);
        return
        [
            .. from use in uses
            where Reachable(use.To, next).Contains(use.From)
            group $"{use.User} uses {use.Used}" by $"{use.From} -> {use.To}" into arrow
            select $"{arrow.Key}: {string.Join(", ", arrow)}",
        ];
    }

    private static string FeatureOf(string space, string root) => space == root ? Root : space[(root.Length + 1)..].Split('.')[0];

    private static HashSet<string> Reachable(string start, ILookup<string, string> next)
    {
        HashSet<string> found = [start];
        var open = new Stack<string>(found);
        while (open.TryPop(out var feature))
        {
            foreach (var other in next[feature].Where(found.Add))
                open.Push(other);
        }

        return found;
    }

    /// <summary>Full names of everything that a type refers to. The name of a member includes the types of its signature.</summary>
    private static IEnumerable<string> Texts(TypeDefinition type) =>
        new[] { type.BaseType?.FullName }
            .Concat(type.Interfaces.Select(i => i.InterfaceType.FullName))
            .Concat(Texts(type.GenericParameters))
            .Concat(Texts((ICustomAttributeProvider)type))
            .Concat(type.Properties.SelectMany(Texts))
            .Concat(type.Fields.SelectMany(f => Texts(f).Append(f.FullName)))
            .Concat(type.Methods.SelectMany(Texts))
            .OfType<string>();

    private static IEnumerable<string?> Texts(MethodDefinition method)
    {
        var texts = Texts((ICustomAttributeProvider)method)
            .Append(method.FullName)
            .Concat(Texts(method.GenericParameters))
            .Concat(method.Parameters.SelectMany(Texts));
        return !method.HasBody
            ? texts
            : texts
                .Concat(method.Body.Variables.Select(v => v.VariableType.FullName))
                .Concat(method.Body.ExceptionHandlers.Select(h => h.CatchType?.FullName))
                .Concat(method.Body.Instructions.Select(i => (i.Operand as MemberReference)?.FullName));
    }

    private static IEnumerable<string?> Texts(IEnumerable<GenericParameter> parameters) =>
        parameters.SelectMany(p => p.Constraints).Select(c => c.ConstraintType.FullName);

    private static IEnumerable<string?> Texts(ICustomAttributeProvider provider) =>
        provider.CustomAttributes.SelectMany(a =>
            a.ConstructorArguments.Concat(a.Properties.Select(p => p.Argument))
                .Select(v => (v.Value as TypeReference)?.FullName)
                .Append(a.AttributeType.FullName)
        );
}
